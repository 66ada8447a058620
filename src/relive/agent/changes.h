/* The changes of one switch: comparing and writing them, and the windows that nobody may be in. */
#ifndef RELIVE_CHANGES_H
#define RELIVE_CHANGES_H

#include "switch.h"

/* The plan whose windows are meant from now on; set while no handler runs. */
void changes_begin(const struct switch_plan *plan);
/* Whether going on at this address would run bytes that change: behind the first byte of a place. Safe in handlers. */
bool inside_window(uint64_t word);
/* ... or at an address that the plan forbids. */
bool inside_forbidden(uint64_t word);

/* False, and the result says where, when memory is not what is expected. */
bool changes_as_expected(const struct switch_plan *plan, struct switch_result *result);
/* Writes `size` bytes from offset `from` of every change; old: the expected ones. Stops at the first failure. */
bool changes_write(const struct change *changes, size_t count, uint32_t from, uint32_t size, bool old,
                   struct switch_result *result);

#endif
