/* The live way of a switch: int3 first, nobody stopped (see switch.h). */
#ifndef RELIVE_LIVE_H
#define RELIVE_LIVE_H

#include "switch.h"

/* An int3 kills a thread that blocks SIGTRAP, and belongs to the debugger where there is one; and while a child made by
 * vfork borrows the memory, its traps would not come to us. Waits for what is only for the moment. */
bool live_is_possible(size_t code_count, uint64_t deadline);
/* Only after live_is_possible. */
void live_run(const struct switch_plan *plan, struct switch_result *result, uint64_t deadline);
/* Makes the instruction streams of all CPUs follow what was written. */
void synchronise_cores(void);

#endif
