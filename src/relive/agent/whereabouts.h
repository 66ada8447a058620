/* Which threads are in which code right now, without stopping anything. */
#ifndef RELIVE_WHEREABOUTS_H
#define RELIVE_WHEREABOUTS_H

#include "buffer.h"
#include "switch.h"

#include <stdbool.h>
#include <stdint.h>

/* Appends (u32 tid, u32 index) for every thread that has its pc, or a plausible return address, in ranges[index]. */
bool whereabouts_list(const struct range *ranges, uint32_t count, struct reply *reply);

#endif
