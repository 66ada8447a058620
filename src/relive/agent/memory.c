#define _GNU_SOURCE
#include "memory.h"

#include "maps.h"
#include "sys.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

enum { OWN_LIMIT = 64 };

static struct {
    int proc, own_proc, mem, pagemap;
    bool mem_refuses_text; /* writing through protections was refused once */
    struct {
        uint64_t low, high;
    } own[OWN_LIMIT];
} memory = {.proc = -1, .own_proc = -1, .mem = -1, .pagemap = -1};

bool memory_open(void)
{
    memory.proc = (int)SYS(SYS_openat, AT_FDCWD, "/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    memory.own_proc = (int)SYS(SYS_openat, AT_FDCWD, "/proc/thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (memory.proc < 0 || memory.own_proc < 0)
        return false;
    memory.mem = (int)SYS(SYS_openat, memory.own_proc, "mem", O_RDWR | O_CLOEXEC, 0);
    memory.pagemap = (int)SYS(SYS_openat, memory.own_proc, "pagemap", O_RDONLY | O_CLOEXEC, 0);
    return memory.mem >= 0;
}

void memory_forget(void)
{
    memory.proc = memory.own_proc = memory.mem = memory.pagemap = -1;
}

int proc_directory(void)
{
    return memory.proc;
}

int own_proc_directory(void)
{
    return memory.own_proc;
}

int pagemap_file(void)
{
    return memory.pagemap;
}

void own_pages_register(void *pages, size_t size)
{
    for (int i = 0; i < OWN_LIMIT; i++)
        if (!memory.own[i].high) {
            memory.own[i].low = (uint64_t)pages;
            memory.own[i].high = (uint64_t)pages + size;
            return;
        }
}

void *own_pages(size_t size)
{
    void *pages = mmap(NULL, page_up(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    own_pages_register(pages, page_up(size));
    return pages;
}

void own_pages_free(void *pages, size_t size)
{
    for (int i = 0; i < OWN_LIMIT; i++)
        if (memory.own[i].low == (uint64_t)pages)
            memory.own[i].low = memory.own[i].high = 0;
    munmap(pages, page_up(size));
}

uint64_t own_range_end(uint64_t address)
{
    for (int i = 0; i < OWN_LIMIT; i++)
        if (address >= memory.own[i].low && address < memory.own[i].high)
            return memory.own[i].high;
    return 0;
}

uint64_t own_range_after(uint64_t address)
{
    uint64_t first = UINT64_MAX;
    for (int i = 0; i < OWN_LIMIT; i++)
        if (memory.own[i].high && memory.own[i].low > address && memory.own[i].low < first)
            first = memory.own[i].low;
    return first;
}

bool memory_read(uint64_t address, void *to, size_t size)
{
    uint8_t *at = to;
    while (size) {
        long got = SYS(SYS_pread64, memory.mem, at, size, address);
        if (got <= 0)
            return false;
        at += got;
        address += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

/* The way round for kernels that do not let /proc/self/mem write through protections. */
static bool write_unprotected(uint64_t address, const void *from, size_t size)
{
    struct maps maps = {0};
    const struct mapping *row = maps_load(&maps) ? maps_find(&maps, address) : NULL;
    bool done = false;
    if (row && address + size <= row->high) {
        uint64_t low = page_down(address), high = page_up(address + size);
        int old = row->protection;
        if (mprotect((void *)low, high - low, old | PROT_READ | PROT_WRITE) == 0) {
            memcpy((void *)address, from, size);
            mprotect((void *)low, high - low, old);
            done = true;
        }
    }
    maps_free(&maps);
    return done;
}

bool memory_write(uint64_t address, const void *from, size_t size)
{
    const uint8_t *at = from;
    while (size && !memory.mem_refuses_text) {
        long put = SYS(SYS_pwrite64, memory.mem, at, size, address);
        if (put <= 0) {
            memory.mem_refuses_text = true;
            break;
        }
        at += put;
        address += (uint64_t)put;
        size -= (size_t)put;
    }
    if (!size)
        return true;
    /* A plain wrong address also ends here; do not hold that against /proc/self/mem. */
    bool done = write_unprotected(address, at, size);
    if (!done)
        memory.mem_refuses_text = false;
    return done;
}
