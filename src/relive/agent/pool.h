/* Room for thread_local variables that did not exist when the program started.
 *
 * A few KB of the agent's own static TLS: every thread has them, at the same distance from its thread pointer. A new
 * variable's image is copied into every thread that lives, and into the image from which later threads start. */
#ifndef RELIVE_POOL_H
#define RELIVE_POOL_H

#include "switch.h"

#include <stdbool.h>
#include <stdint.h>

struct pool_place {
    int64_t tp_offset;      /* of the pool from the thread pointer */
    uint64_t size;          /* bytes */
    uint64_t module;        /* the agent's TLS module id */
    uint64_t module_offset; /* of the pool in the module's block */
};

struct pool_place pool_place(void);
/* Puts `size` bytes at pool offset `offset` into all threads, now and later. */
enum switch_status pool_install(uint64_t offset, const void *image, uint64_t size, struct switch_result *result);

#endif
