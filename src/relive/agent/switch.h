/* Changing code and data of the running program as one step for every thread.
 *
 * *Live*: an int3 goes onto the first byte of every place; then each thread is seen once with its pc (and every saved
 * pc on its stack) outside the bytes that follow; then the bytes behind the first, then the first. A thread that
 * arrives meanwhile waits in the trap until all places are written, so nobody runs a new function and afterwards an old
 * one. Threads that sleep in the kernel are looked at from outside and never disturbed. *Stop*: every thread is held by
 * a signal; used where an int3 is not possible (debugger, SIGTRAP blocked) or where data changes too. Everything is
 * compared with what is expected first; any other outcome than SWITCH_DONE has changed nothing. */
#ifndef RELIVE_SWITCH_H
#define RELIVE_SWITCH_H

#include "protocol.h"
#include "scan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A thread that is in the way is waited for until the deadline of the switch; one that only gets no CPU, longer. */
#define PATIENCE (4000 * NS_PER_MS)

struct change {
    uint64_t address;
    uint32_t size;
    const uint8_t *expected, *replacement;
};

struct range {
    uint64_t low, high;
};

struct switch_plan {
    struct change *code; /* sorted by address, not overlapping, at most RELIVE_CODE_LIMIT bytes each */
    size_t code_count;
    struct change *stores;
    size_t store_count;
    struct rewrite *rewrites; /* sorted by from */
    size_t rewrite_count;
    struct range *forbidden;
    size_t forbidden_count;
    bool stop;
    uint32_t timeout_ms;
};

struct switch_result {
    enum switch_status status;
    enum switch_mode mode;
    uint64_t pause;   /* longest time any one thread was held, ns */
    uint64_t address; /* what differed, or was in the way */
    int tid;          /* who was in the way */
    uint64_t rewritten;
    bool write_failed; /* memory could not be written at address; what had been written was put back */
};

void switch_prepare(void);
void switch_run(const struct switch_plan *plan, struct switch_result *result);
/* Puts the program's SIGTRAP handler back once no thread can need ours, waiting for threads at most this long; call
 * while nothing is asked. */
void switch_settle(uint64_t timeout_ns);
bool switch_unsettled(void);

/* Around fork: the copy of the program's memory must not hold half a switch. */
void switch_fork_before(void);
void switch_fork_parent(void);
void switch_fork_child(void);

/* Holds every thread and runs `act`; `wanted` names pcs and stack words at which a thread must not be (NULL: any place
 * will do). Result as of a switch: done, busy, timeout. */
enum switch_status switch_held(bool (*wanted)(uint64_t word), bool (*act)(void *), void *argument, uint64_t deadline,
                               struct switch_result *result);

#endif
