#define _GNU_SOURCE
#include "stop.h"

#include "memory.h"
#include "restart.h"
#include "signals.h"
#include "stack.h"
#include "sys.h"

#include <errno.h>
#include <string.h>

#define MARK 0x5e1full /* top 16 bits of the queued value; then 32 bits of round, 16 of index */

static struct {
    struct kernel_action before; /* glibc's handler */
    _Atomic uint32_t round;      /* the round that is going on; signals of another one are late and ignored */
    _Atomic uint32_t opened;     /* == round: held threads go on */
    _Atomic uint32_t answers;    /* handlers that have reported in this round */
    _Atomic uint32_t inside;     /* handlers that may still look at the table or be held */
    _Atomic uint32_t waiting;    /* the agent sleeps on answers: only then a wake-up is worth a system call */
    _Atomic bool hold;
    _Atomic uint64_t longest;
    bool (*wanted)(uint64_t word);
} gate;

void stop_fork_child(void)
{
    atomic_store(&gate.inside, 0);
    atomic_store(&gate.answers, 0);
    atomic_store(&gate.waiting, 0);
    atomic_fetch_add(&gate.round, 1);
}

void stop_clear_longest(void)
{
    atomic_store(&gate.longest, 0);
}

uint64_t stop_longest(void)
{
    return atomic_load(&gate.longest);
}

void stop_note_held(uint64_t ns)
{
    raise_to(&gate.longest, ns);
}

static uint64_t thread_pointer(void)
{
    uint64_t tp;
    __asm__("mov %%fs:0,%0" : "=r"(tp));
    return tp;
}

static void report(struct thread *thread, ucontext_t *context)
{
    uint64_t pc = *context_register(context, REG_RIP), sp = *context_register(context, REG_RSP);
    thread->sleeps = thread->sleeps && thread->pc == pc; /* in a system call, seen before: its number is known */
    thread->pc = pc;
    thread->sp = sp;
    thread->tp = thread_pointer();
    uint64_t mask = *(uint64_t *)&context->uc_sigmask;
    thread->in_trap = mask & 1ull << (SIGTRAP - 1) && mask & LIBC_SIGNALS;
    uint64_t low = (uint64_t)context->uc_stack.ss_sp, size = context->uc_stack.ss_size;
    thread->alternate = !(context->uc_stack.ss_flags & SS_DISABLE) && sp - low < size ? low + size : 0;
    thread->inside = gate.wanted && thread_has(thread, gate.wanted, STACK_OWN);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    uint64_t value = (uint64_t)info->si_value.sival_ptr;
    if (info->si_code != SI_QUEUE || value >> 48 != MARK || info->si_pid != SYS(SYS_getpid, 0)) {
        if ((void *)gate.before.handler != (void *)SIG_DFL && (void *)gate.before.handler != (void *)SIG_IGN)
            gate.before.handler(number, info, context);
        return;
    }
    uint64_t arrived = now_ns();
    uint32_t round = (uint32_t)(value >> 16);
    struct thread was = {.sleeps = false};
    bool hold = false;
    atomic_fetch_add(&gate.inside, 1);
    if (round == atomic_load(&gate.round)) {
        struct thread *thread = &threads.rows[value & 0xffff];
        hold = atomic_load(&gate.hold);
        report(thread, context);
        was.sleeps = thread->sleeps;
        was.pc = thread->pc;
        was.number = thread->number;
        was.unseen = thread->unseen;
        atomic_store(&thread->answered, round);
        atomic_fetch_add(&gate.answers, 1);
        if (atomic_load(&gate.waiting))
            futex_wake_all(&gate.answers);
        uint32_t opened;
        while (hold && (opened = atomic_load(&gate.opened)) != round)
            futex_wait(&gate.opened, opened, 0);
        raise_to(&gate.longest, now_ns() - arrived);
    }
    if (atomic_fetch_sub(&gate.inside, 1) == 1)
        futex_wake_all(&gate.inside);
    restart_interrupted(context, &was, hold || was.unseen);
}

bool stop_prepare(void)
{
    return threads_prepare() && signal_install(STOP_SIGNAL, on_signal, ~0ull, &gate.before);
}

void stop_begin(bool hold, bool (*wanted)(uint64_t word))
{
    gate.wanted = wanted;
    atomic_store(&gate.hold, hold);
    atomic_store(&gate.answers, 0);
    for (uint32_t i = 0; i < threads.count; i++)
        threads.rows[i].asked = false;
    atomic_fetch_add(&gate.round, 1);
}

bool stop_probe(struct thread *thread)
{
    uint64_t round = atomic_load(&gate.round);
    uint64_t index = (uint64_t)(thread - threads.rows);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = STOP_SIGNAL;
    info.si_code = SI_QUEUE;
    info.si_pid = (int)SYS(SYS_getpid, 0);
    info.si_uid = (unsigned)SYS(SYS_getuid, 0);
    info.si_value.sival_ptr = (void *)(MARK << 48 | round << 16 | index);
    long result = SYS(SYS_rt_tgsigqueueinfo, info.si_pid, thread->tid, STOP_SIGNAL, &info);
    thread->asked = result == 0;
    if (result == -ESRCH)
        thread->clear = true;
    return result != -ESRCH; /* EAGAIN, the queue is full: asked stays false, and the caller's next try sends again */
}

bool stop_answered(const struct thread *thread)
{
    return atomic_load(&thread->answered) == atomic_load(&gate.round);
}

/* A thread that sleeps in the kernel with our signal pending cannot get back into the program without passing through
 * the handler, so it counts as stopped where it is (uninterruptible sleep, parent of a vfork). */
static bool as_good_as_stopped(struct thread *thread)
{
    uint64_t blocked = 0;
    if (!thread_blocked_signals(thread, &blocked)) {
        thread->clear = true;
        return true;
    }
    struct thread look = *thread;
    enum place place = thread_place(&look);
    thread->syscall_fd = look.syscall_fd;
    if (blocked & 1ull << (STOP_SIGNAL - 1) || place != PLACE_BLOCKED || stop_answered(thread))
        return false;
    thread->pc = look.pc;
    thread->sp = look.sp;
    return true;
}

bool stop_wait(uint64_t deadline)
{
    uint64_t patience = now_ns() + 2 * NS_PER_MS;
    bool good = false;
    atomic_store(&gate.waiting, 1);
    for (;;) {
        uint32_t seen = atomic_load(&gate.answers), asked = 0;
        for (uint32_t i = 0; i < threads.count; i++)
            asked += threads.rows[i].asked;
        if (seen >= asked) {
            good = true;
            break;
        }
        uint64_t now = now_ns();
        if (now >= patience) {
            bool missing = false;
            for (uint32_t i = 0; i < threads.count; i++) {
                struct thread *thread = &threads.rows[i];
                if (thread->asked && !stop_answered(thread) && !as_good_as_stopped(thread))
                    missing = true;
            }
            if (!missing) {
                good = true;
                break;
            }
            if (now >= deadline)
                break;
        }
        futex_wait(&gate.answers, seen, NS_PER_MS);
    }
    atomic_store(&gate.waiting, 0);
    return good;
}

/* Asks every thread that was not asked yet; *tid is one of them. Returns whether there were any; *full: some could not
 * be asked now, because the kernel's queue of signals is full. */
static bool ask_the_rest(int *tid, bool *full)
{
    bool any = false;
    *full = false;
    for (uint32_t i = 0; i < threads.count; i++) {
        struct thread *thread = &threads.rows[i];
        if (thread->clear || thread->asked)
            continue;
        enum place place = thread_place(thread);
        thread->sleeps = place == PLACE_BLOCKED && thread->number >= 0;
        if (place == PLACE_GONE || !stop_probe(thread)) {
            thread->clear = true;
            continue;
        }
        any = true;
        *full = *full || !thread->asked;
        *tid = thread->tid;
    }
    return any;
}

bool stop_all(uint64_t deadline, int *tid)
{
    bool full;
    /* New threads come only from threads that still run: when everyone known is held and nobody is new, all are. */
    while (threads_list() >= 0) {
        if (!ask_the_rest(tid, &full))
            return true;
        if (!stop_wait(deadline)) {
            for (uint32_t i = 0; i < threads.count; i++)
                if (threads.rows[i].asked && !threads.rows[i].clear && !stop_answered(&threads.rows[i]))
                    *tid = threads.rows[i].tid;
            return false;
        }
        if (full && now_ns() >= deadline)
            return false;
    }
    return false;
}

void stop_end(void)
{
    atomic_store(&gate.opened, atomic_load(&gate.round));
    futex_wake_all(&gate.opened);
    atomic_fetch_add(&gate.round, 1); /* whatever comes now is late */
    uint32_t seen;
    while ((seen = atomic_load(&gate.inside)))
        futex_wait(&gate.inside, seen, NS_PER_MS);
}
