/* The agent's own memory, and reading and writing the program's.
 *
 * Nothing here uses the program's heap. Reads go through /proc/self/mem, so an address that is not mapped is an answer
 * and not a crash; writes too, because the kernel then writes through r-x and RELRO pages without a moment at which the
 * page is writable for the program. Kernels can be built without that (6.12: PROC_MEM_NO_FORCE): then mprotect. */
#ifndef RELIVE_MEMORY_H
#define RELIVE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096ull
#define page_down(address) ((address) & ~(PAGE - 1))
#define page_up(address) (((address) + PAGE - 1) & ~(PAGE - 1))

/* Opens /proc/self and /proc/self/mem in the agent's own descriptor table; false without a usable /proc. */
bool memory_open(void);
/* Forgets the descriptors (after fork: they belong to the parent). */
void memory_forget(void);
/* Descriptors of /proc/self, and of /proc/thread-self, for openat. What concerns the whole process (maps, mem) is asked
 * of the agent's own thread: main may have ended by pthread_exit, and then has no memory any more. */
int proc_directory(void);
int own_proc_directory(void);
/* /proc/thread-self/pagemap, opened early: a program that gives up its rights could not open it any more. */
int pagemap_file(void);

/* Fresh zeroed pages, remembered as the agent's own; NULL when there are none. */
void *own_pages(size_t size);
void own_pages_free(void *pages, size_t size);
/* Pages that somebody else mapped for the agent (a stack). */
void own_pages_register(void *pages, size_t size);
/* The end of the agent's own range that covers this address, or 0. */
uint64_t own_range_end(uint64_t address);
/* The start of the first of the agent's own ranges above this address, or UINT64_MAX. */
uint64_t own_range_after(uint64_t address);

bool memory_read(uint64_t address, void *to, size_t size);
bool memory_write(uint64_t address, const void *from, size_t size);

#endif
