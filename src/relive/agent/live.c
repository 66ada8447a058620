#define _GNU_SOURCE
#include "live.h"

#include "buffer.h"
#include "changes.h"
#include "memory.h"
#include "signals.h"
#include "stack.h"
#include "stop.h"
#include "sys.h"
#include "threads.h"
#include "trap.h"
#include "worker.h"

#include <linux/membarrier.h>
#include <signal.h>
#include <string.h>

enum { INT3 = 0xcc, JMP32 = 0xe9 };

static struct {
    bool core_sync;  /* the kernel offers membarrier SYNC_CORE */
    bool unsettled;  /* our SIGTRAP handler is still installed */
    uint32_t number; /* of the newest live switch */
    struct trap *traps;
    size_t traps_capacity;
    _Atomic uint32_t fork_lock; /* 0 free, 1 taken, 2 taken and somebody waits */
} state;

void switch_prepare(void)
{
    state.core_sync = SYS(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0;
}

void synchronise_cores(void)
{
    if (state.core_sync)
        SYS(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
}

static void lock(void)
{
    uint32_t free = 0;
    if (atomic_compare_exchange_strong(&state.fork_lock, &free, 1))
        return;
    while (atomic_exchange(&state.fork_lock, 2))
        futex_wait(&state.fork_lock, 2, 0);
}

static void unlock(void)
{
    if (atomic_exchange(&state.fork_lock, 0) == 2)
        futex_wake_all(&state.fork_lock);
}

void switch_fork_before(void)
{
    lock();
}

void switch_fork_parent(void)
{
    unlock();
}

void switch_fork_child(void)
{
    atomic_store(&state.fork_lock, 0);
    if (state.unsettled)
        trap_remove();
    state.unsettled = false;
}

bool live_is_possible(size_t code_count, uint64_t deadline)
{
    uint64_t tracer = 0, mains_tracer = 0, blocked = 0;
    if (!state.core_sync || !status_number((int)SYS(SYS_gettid, 0), "TracerPid:", 10, &tracer) ||
        !status_number((int)SYS(SYS_getpid, 0), "TracerPid:", 10, &mains_tracer) || tracer || mains_tracer)
        return false;
    if (!threads_begin() ||
        !grow_pages((uint8_t **)&state.traps, &state.traps_capacity, 0, code_count * sizeof *state.traps))
        return false;
    for (uint32_t i = 0; i < threads.count; i++) {
        struct thread *thread = &threads.rows[i];
        if (thread->clear)
            continue;
        while (thread->tid != worker_tid() && thread_blocks_traps(thread) && !thread->clear) {
            if (!thread_blocked_signals(thread, &blocked))
                break;
            if ((blocked & 1ull << (SIGTRAP - 1) && !(blocked & LIBC_SIGNALS)) || now_ns() >= deadline + PATIENCE)
                return false;
            pause_ns(NS_PER_MS / 4); /* in a handler of ours, or where glibc starts or ends a thread: soon over */
        }
        while (!thread->clear && thread_place(thread) == PLACE_BLOCKED && thread->number == SYS_vfork) {
            if (now_ns() >= deadline)
                return false;
            pause_ns(NS_PER_MS);
        }
    }
    return true;
}

/* Every thread must be seen once outside the windows. Sleeping ones are seen from here, running ones by a probe. */
static enum switch_status clear_windows(uint64_t deadline, struct switch_result *result)
{
    bool listed = false;
    for (uint64_t nap = NS_PER_MS / 20;; nap = nap < 4 * NS_PER_MS ? nap * 2 : nap) {
        if (!listed && threads_list() < 0)
            return SWITCH_TIMEOUT;
        listed = true;
        bool missing = false, busy = false;
        stop_begin(false, inside_window);
        for (uint32_t i = 0; i < threads.count; i++) {
            struct thread *thread = &threads.rows[i];
            if (thread->clear)
                continue;
            enum place place = thread_place(thread);
            thread->sleeps = false;
            if (place == PLACE_RUNNING) {
                stop_probe(thread);
                missing = missing || !(thread->asked || thread->clear);
            } else if (place == PLACE_GONE || !thread_has(thread, inside_window, STACK_MOVING)) {
                thread->clear = true;
            } else {
                busy = true;
                result->tid = thread->tid;
                result->address = thread->pc;
            }
        }
        missing = !stop_wait(deadline + PATIENCE) || missing;
        for (uint32_t i = 0; i < threads.count; i++) {
            struct thread *thread = &threads.rows[i];
            if (thread->clear || !thread->asked)
                continue;
            if (!stop_answered(thread) ? thread_has(thread, inside_window, STACK_MOVING) : thread->inside) {
                busy = true;
                result->tid = thread->tid;
                result->address = thread->pc;
            } else if (!missing || stop_answered(thread)) {
                thread->clear = true;
            } else {
                result->tid = thread->tid;
            }
        }
        stop_end();
        if (!busy && !missing) {
            result->tid = 0;
            result->address = 0;
            return SWITCH_DONE;
        }
        if (now_ns() >= (busy ? deadline : deadline + PATIENCE))
            return busy ? SWITCH_BUSY : SWITCH_TIMEOUT;
        pause_ns(nap);
    }
}

/* Before anybody can be held up: a sleeping thread in the way makes the switch wait here, or fail with nothing touched.
 */
static bool sleepers_are_elsewhere(uint64_t deadline, struct switch_result *result)
{
    for (uint64_t nap = NS_PER_MS / 4;; nap = nap < 16 * NS_PER_MS ? nap * 2 : nap) {
        bool busy = false;
        for (uint32_t i = 0; i < threads.count && !busy; i++) {
            struct thread *thread = &threads.rows[i];
            if (thread->clear || thread_place(thread) != PLACE_BLOCKED)
                continue;
            busy = thread_has(thread, inside_window, STACK_MOVING);
            result->tid = thread->tid;
            result->address = thread->pc;
        }
        if (!busy) {
            result->tid = 0;
            result->address = 0;
            return true;
        }
        if (now_ns() >= deadline)
            return false;
        pause_ns(nap);
    }
}

/* Where a thread that arrives at a lone place may go on at once: a jump there, new or old, is easily done for it. */
static uint64_t jump_of(const struct change *change)
{
    const uint8_t *jump = change->replacement[0] == JMP32 ? change->replacement : change->expected;
    if (change->size < 5 || jump[0] != JMP32)
        return 0;
    int32_t distance;
    memcpy(&distance, jump + 1, sizeof distance);
    return change->address + 5 + (uint64_t)(int64_t)distance;
}

void live_run(const struct switch_plan *plan, struct switch_result *result, uint64_t deadline)
{
    size_t count = plan->code_count;
    const struct change *code = plan->code;
    for (size_t i = 0; i < count; i++)
        state.traps[i] = (struct trap){code[i].address, count == 1 ? jump_of(&code[i]) : 0};
    result->mode = MODE_LIVE;
    stacks_load();
    if (!sleepers_are_elsewhere(deadline, result)) {
        result->status = SWITCH_BUSY;
        threads_end();
        return;
    }
    lock();
    state.number++;
    state.unsettled = trap_install(state.traps, count);
    uint8_t int3 = INT3;
    bool good = state.unsettled;
    size_t placed = 0;
    for (; placed < count && good; placed++)
        if (!memory_write(code[placed].address, &int3, 1)) {
            result->write_failed = true;
            result->address = code[placed].address;
            good = false;
            break;
        }
    synchronise_cores();
    if (good) {
        result->status = clear_windows(deadline, result);
        good = result->status == SWITCH_DONE;
    }
    if (good && !changes_write(code, count, 1, UINT32_MAX - 1, false, result)) {
        struct switch_result ignored;
        changes_write(code, count, 1, UINT32_MAX - 1, true, &ignored);
        good = false;
    }
    synchronise_cores();
    /* From here it cannot fail: the same pages have just been written. */
    struct switch_result ignored;
    changes_write(code, placed, 0, 1, !good, &ignored);
    synchronise_cores();
    trap_release();
    unlock();
    threads_end();
}

bool switch_unsettled(void)
{
    return state.unsettled;
}

void switch_settle(uint64_t timeout_ns)
{
    if (!state.unsettled || !threads_begin())
        return;
    /* A thread may have executed an int3 and not yet reached the handler. Kernels deliver such a trap before any other
     * signal, so whoever answers a probe, and not from within the handler, or sleeps in a system call, is past it. */
    stop_begin(false, NULL);
    for (uint32_t i = 0; i < threads.count; i++) {
        struct thread *thread = &threads.rows[i];
        thread->sleeps = false;
        if (thread->clear || thread->past_switch == state.number)
            continue;
        enum place place = thread_place(thread);
        if (place == PLACE_RUNNING || (place == PLACE_BLOCKED && thread->number < 0))
            stop_probe(thread);
        else
            thread->past_switch = state.number;
    }
    stop_wait(now_ns() + timeout_ns);
    bool all = true;
    for (uint32_t i = 0; i < threads.count; i++) {
        struct thread *thread = &threads.rows[i];
        if (thread->asked && stop_answered(thread) && !thread->in_trap)
            thread->past_switch = state.number;
        all = all && (thread->clear || thread->past_switch == state.number);
    }
    stop_end();
    threads_end();
    if (all) {
        trap_remove();
        state.unsettled = false;
    }
}
