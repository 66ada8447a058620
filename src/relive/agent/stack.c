#include "stack.h"

#include "maps.h"
#include "memory.h"
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

bool stack_has(const struct thread *thread, bool (*wanted)(uint64_t word), enum stack_access access)
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
