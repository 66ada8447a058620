/* Looking through the live part of threads' stacks for words: return addresses, and saved program counters of
 * interrupted code (a signal frame holds them as ordinary words). */
#ifndef RELIVE_STACK_H
#define RELIVE_STACK_H

#include "threads.h"

#include <stdbool.h>
#include <stdint.h>

enum stack_access {
    STACK_OWN,    /* from the thread's own handler: direct, and only so far that the thread is not held long */
    STACK_HELD,   /* of a held thread: direct, all of it */
    STACK_MOVING, /* of a thread that may run at any time: every read may fail */
};

/* Reads the table of mappings that tells where stacks end. */
bool stacks_load(void);
/* Asks `wanted` about the thread's pc and each aligned word from its sp to the end of its stack (and of the stack below
 * a signal handler that runs on an alternate one) until it says true. Our own handlers count as the place that they
 * have interrupted. `wanted` must be safe in handlers when STACK_OWN. */
bool thread_has(const struct thread *thread, bool (*wanted)(uint64_t word), enum stack_access access);

#endif
