#define _GNU_SOURCE
#include "stack.h"

#include "maps.h"
#include "memory.h"
#include "modules.h"
#include "signals.h"
#include "sys.h"

#include <string.h>

#define OWN_LIMIT (256ull << 10)
#define OTHERS_LIMIT (64ull << 20) /* a stack inside the heap has no end of its own */
#define STACK_GROWTH (64ull << 20)

static struct maps stacks;

bool stacks_load(void)
{
    return maps_load(&stacks);
}

/* Where the stack that holds sp ends; main's may have grown down since the table was read. */
static uint64_t stack_end(uint64_t sp)
{
    const struct mapping *row = maps_find(&stacks, sp);
    for (uint64_t above = page_up(sp); !row && above - sp < STACK_GROWTH; above += 64 * PAGE) {
        const struct mapping *next = maps_find(&stacks, above);
        if (next && next->kind == MAP_STACK)
            row = next;
        else if (next)
            break;
    }
    return row ? row->high : page_up(sp + 1);
}

static bool words_have(const uint64_t *word, const uint64_t *end, bool (*wanted)(uint64_t))
{
    for (; word < end; word++)
        if (wanted(*word))
            return true;
    return false;
}

static uint64_t copied[2 * PAGE]; /* for the agent's thread alone */

static bool range_has(uint64_t low, uint64_t high, bool (*wanted)(uint64_t), enum stack_access access)
{
    uint64_t limit = access == STACK_OWN ? OWN_LIMIT : OTHERS_LIMIT;
    if (high - low > limit)
        high = low + limit;
    if (access != STACK_MOVING)
        return words_have((const uint64_t *)low, (const uint64_t *)(high & ~7ull), wanted);
    while (low < high) {
        uint64_t size = high - low < sizeof copied ? high - low : sizeof copied;
        if (!memory_read(low, copied, size))
            return false; /* the thread ended and its stack went with it */
        if (words_have(copied, copied + size / 8, wanted))
            return true;
        low += size;
    }
    return false;
}

/* The deepest address within [low, high) that a signal stack's words mention: there the interrupted frames begin. */
static uint64_t interrupted_sp(uint64_t from, uint64_t to, uint64_t low, uint64_t high, enum stack_access access)
{
    uint64_t deepest = high;
    const uint64_t *word = (const uint64_t *)from, *end = (const uint64_t *)(to & ~7ull);
    if (access == STACK_MOVING) {
        size_t size = to - from < sizeof copied ? (to - from) & ~7ull : sizeof copied;
        word = copied;
        end = memory_read(from, copied, size) ? copied + size / 8 : copied;
    }
    for (; word < end; word++)
        if (*word >= low && *word < deepest)
            deepest = *word & ~7ull;
    return deepest;
}

/* A thread that is held in one of our handlers has unused bytes on its stack (of the handler's frame, and in what the
 * kernel pushed) that still tell of earlier times, when the thread was where it may not be. What counts is the place
 * that was interrupted: the signal frame is a return address, then the ucontext. */
static void leave_own_handlers(struct thread *thread, enum stack_access access)
{
    enum { WORDS = 512, DEPTH = 8 };
    for (int depth = 0; depth < DEPTH && modules_own_code(thread->pc); depth++) {
        uint64_t high = stack_end(thread->sp), size = WORDS * 8;
        if (thread->sp + size > high)
            size = high > thread->sp ? (high - thread->sp) & ~7ull : 0;
        const uint64_t *word = (const uint64_t *)thread->sp, *frame = NULL;
        if (access == STACK_MOVING)
            word = memory_read(thread->sp, copied, size) ? copied : NULL;
        for (uint64_t i = 0; word && !frame && (i + 1) * 8 + sizeof(ucontext_t) < size; i++)
            if (word[i] == (uint64_t)relive_restorer)
                frame = &word[i];
        if (!frame)
            return;
        const greg_t *registers = ((const ucontext_t *)(frame + 1))->uc_mcontext.gregs;
        thread->pc = (uint64_t)registers[REG_RIP];
        thread->sp = (uint64_t)registers[REG_RSP];
        thread->alternate = 0;
    }
}

static bool stack_has(const struct thread *thread, bool (*wanted)(uint64_t word), enum stack_access access)
{
    uint64_t sp = (thread->sp + 7) & ~7ull;
    if (!sp)
        return false;
    if (!thread->alternate)
        return range_has(sp, stack_end(sp), wanted, access);
    if (range_has(sp, thread->alternate, wanted, access))
        return true;
    /* On an alternate signal stack: glibc keeps a thread's TCB at the top of the stack it made. Main's is elsewhere. */
    const struct mapping *row = maps_find(&stacks, thread->tp);
    bool is_main = thread->tid == SYS(SYS_getpid, 0);
    for (size_t i = 0; i < stacks.count && is_main; i++)
        if (stacks.rows[i].kind == MAP_STACK)
            row = &stacks.rows[i];
    if (!row)
        return false;
    return range_has(interrupted_sp(sp, thread->alternate, row->low, row->high, access), row->high, wanted, access);
}

bool thread_has(const struct thread *thread, bool (*wanted)(uint64_t word), enum stack_access access)
{
    struct thread look = {.tid = thread->tid, .pc = thread->pc, .sp = thread->sp, .tp = thread->tp};
    look.alternate = thread->alternate;
    leave_own_handlers(&look, access);
    return wanted(look.pc) || stack_has(&look, wanted, access);
}
