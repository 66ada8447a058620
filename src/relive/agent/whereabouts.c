#include "whereabouts.h"

#include "memory.h"
#include "stack.h"
#include "stop.h"
#include "sys.h"
#include "threads.h"
#include "worker.h"

static struct {
    const struct range *ranges;
    uint32_t count;
    uint64_t low, high; /* all ranges lie within */
    int tid;
    bool first;
    struct reply *reply;
} looking;

/* A word on a stack is a return address when a call ends just before it: e8 rel32, or ff /2 with its addressing forms.
 */
static bool follows_a_call(uint64_t word)
{
    uint8_t code[7];
    if (!memory_read(word - 7, code, sizeof code))
        return false;
    if (code[2] == 0xe8)
        return true;
    static const int starts[] = {5, 4, 3, 1, 0}; /* 2, 3, 4, 6 and 7 bytes long */
    for (int i = 0; i < 5; i++)
        if (code[starts[i]] == 0xff && (code[starts[i] + 1] & 0x38) == 0x10)
            return true;
    return false;
}

static void note(uint64_t address)
{
    for (uint32_t i = 0; i < looking.count; i++)
        if (address >= looking.ranges[i].low && address < looking.ranges[i].high) {
            put_u32(looking.reply, (uint32_t)looking.tid);
            put_u32(looking.reply, i);
        }
}

/* Never says "found": looks at every word. The first one is the pc. */
static bool note_return(uint64_t word)
{
    if (looking.first)
        note(word);
    else if (word >= looking.low && word <= looking.high && follows_a_call(word))
        note(word - 1); /* a call at a function's very end returns behind it */
    looking.first = false;
    return false;
}

bool whereabouts_list(const struct range *ranges, uint32_t count, struct reply *reply)
{
    looking.ranges = ranges;
    looking.count = count;
    looking.reply = reply;
    looking.low = UINT64_MAX;
    looking.high = 0;
    for (uint32_t i = 0; i < count; i++) {
        looking.low = ranges[i].low < looking.low ? ranges[i].low : looking.low;
        looking.high = ranges[i].high > looking.high ? ranges[i].high : looking.high;
    }
    if (!stop_prepare() || !stacks_load() || !threads_begin())
        return false;
    stop_begin(false, NULL);
    for (uint32_t i = 0; i < threads.count; i++) {
        struct thread *thread = &threads.rows[i];
        enum place place = thread_place(thread);
        if (place == PLACE_RUNNING)
            stop_probe(thread); /* a glance of a microsecond; it goes on at once */
        thread->clear = thread->clear || place == PLACE_GONE || thread->tid == worker_tid();
    }
    stop_wait(now_ns() + 100 * NS_PER_MS);
    for (uint32_t i = 0; i < threads.count; i++) {
        struct thread *thread = &threads.rows[i];
        if (thread->clear || !thread->pc)
            continue;
        looking.tid = thread->tid;
        looking.first = true;
        thread_has(thread, note_return, STACK_MOVING);
    }
    stop_end();
    threads_end();
    return true;
}
