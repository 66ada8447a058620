/* /proc/self/maps as a sorted table. */
#ifndef RELIVE_MAPS_H
#define RELIVE_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum map_kind { MAP_ANONYMOUS_MEMORY, MAP_FILE_MEMORY, MAP_DEVICE_MEMORY, MAP_HEAP, MAP_STACK, MAP_KERNEL };

struct mapping {
    uint64_t low, high;
    int protection; /* PROT_* bits */
    bool is_private;
    enum map_kind kind;
};

struct maps {
    struct mapping *rows;
    size_t count, capacity; /* capacity in bytes, own pages */
};

/* Reads the table anew; rows are kept in the agent's own pages and reused by the next load. */
bool maps_load(struct maps *maps);
void maps_free(struct maps *maps);
/* The mapping that covers this address, or NULL; safe in handlers while nobody loads. */
const struct mapping *maps_find(const struct maps *maps, uint64_t address);

#endif
