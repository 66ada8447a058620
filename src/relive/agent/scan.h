/* Replacing pointers in all of the program's writable memory, while every thread is held. */
#ifndef RELIVE_SCAN_H
#define RELIVE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rewrite {
    uint64_t from, to;
};

/* Every aligned word of private writable memory that equals rules[i].from becomes rules[i].to; `rules` sorted by from.
 * The agent's own memory, devices and shared mappings are left out, pages that were never touched are not touched.
 * Registers of held threads are words of their signal frames and so are included. Returns how many words changed. */
uint64_t scan_rewrite(const struct rewrite *rules, size_t count);

#endif
