/* What is loaded in the process, and asking the dynamic loader. */
#ifndef RELIVE_MODULES_H
#define RELIVE_MODULES_H

#include "buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct tls_image {
    uint64_t module;        /* id */
    const uint8_t *block;   /* this thread's */
    const uint8_t *initial; /* from which new threads' blocks are copied */
};

/* Address range of the executable. */
void modules_executable(uint64_t *low, uint64_t *high);
/* Whether this is an address in the agent's own library; safe in handlers. */
bool modules_own_code(uint64_t address);
/* Makes the agent's variables known as its own memory. */
void modules_register_own_data(void);
/* Appends the table of modules to the reply. */
void modules_list(struct reply *reply);
struct tls_image modules_own_tls(void);
/* Address range of the function's symbol, [address, address + 1) when unknown. */
void symbol_range(const void *function, uint64_t *low, uint64_t *high);
/* dlsym(RTLD_DEFAULT), and stand-ins for what exists only in libc_nonshared.a; 0 when unknown. */
uint64_t modules_lookup(const char *name);
/* Opens the ET_DYN file so that its addresses are what it says, within the reserved [address, address + size). NULL or
 * a sentence why not. */
const char *modules_load(const char *path, uint64_t address, uint64_t size);

#endif
