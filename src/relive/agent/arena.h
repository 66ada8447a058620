/* Address space near the program's modules, held with PROT_NONE until new code is loaded into it.
 *
 * Jumps and RIP-relative references reach ±2 GB, and a non-PIE program's absolute ones only the lowest 2 GB, so room is
 * taken when the program starts, before its own mappings fill it up. PROT_NONE without reserve costs no memory. */
#ifndef RELIVE_ARENA_H
#define RELIVE_ARENA_H

#include <stdbool.h>
#include <stdint.h>

/* Takes the room near the executable [low, high) and near the shared libraries. */
void arena_prepare(uint64_t low, uint64_t high);
/* Page-aligned address of `size` bytes such that they and [low, high) reach each other; 0 when there is no room. */
uint64_t arena_reserve(uint64_t low, uint64_t high, uint64_t size);
/* Gives a reserved piece back; false when it is not one, or something was loaded into it. */
bool arena_release(uint64_t address, uint64_t size);
/* Opens the piece for the loader: until arena_close its addresses are unmapped. False: not a reserved piece. */
bool arena_open(uint64_t address, uint64_t size);
/* Closes it again: `used` bytes hold a loaded file now, the rest goes back; used == 0: all is held as before. */
void arena_close(uint64_t address, uint64_t size, uint64_t used);

#endif
