#define _GNU_SOURCE
#include "maps.h"

#include "buffer.h"
#include "memory.h"
#include "sys.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

enum { LINE_LIMIT = 8192 }; /* PATH_MAX and the columns before it */

static uint64_t hex(const char **at)
{
    uint64_t value = 0;
    for (;; (*at)++) {
        char c = **at;
        if (c >= '0' && c <= '9')
            value = value * 16 + (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (uint64_t)(c - 'a' + 10);
        else
            return value;
    }
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum map_kind kind_of(const char *name)
{
    if (!*name || starts_with(name, "[anon"))
        return MAP_ANONYMOUS_MEMORY;
    if (starts_with(name, "[heap]"))
        return MAP_HEAP;
    if (starts_with(name, "[stack"))
        return MAP_STACK;
    if (*name == '[')
        return MAP_KERNEL; /* vdso, vvar, vsyscall, uprobes */
    if (starts_with(name, "/dev/") && !starts_with(name, "/dev/shm/") && !starts_with(name, "/dev/zero"))
        return MAP_DEVICE_MEMORY;
    return MAP_FILE_MEMORY;
}

/* "low-high rwxp offset dev inode   name" */
static bool parse_line(const char *line, struct mapping *row)
{
    row->low = hex(&line);
    if (*line++ != '-')
        return false;
    row->high = hex(&line);
    if (*line++ != ' ')
        return false;
    row->protection =
        (line[0] == 'r' ? PROT_READ : 0) | (line[1] == 'w' ? PROT_WRITE : 0) | (line[2] == 'x' ? PROT_EXEC : 0);
    row->is_private = line[3] == 'p';
    for (int column = 0; column < 4 && *line; column++) {
        while (*line && *line != ' ')
            line++;
        while (*line == ' ')
            line++;
    }
    row->kind = kind_of(line);
    return true;
}

static bool add_line(struct maps *maps, const char *line)
{
    size_t used = maps->count * sizeof *maps->rows;
    if (!grow_pages((uint8_t **)&maps->rows, &maps->capacity, used, used + sizeof *maps->rows))
        return false;
    if (parse_line(line, &maps->rows[maps->count]))
        maps->count++;
    return true;
}

bool maps_load(struct maps *maps)
{
    static char text[2 * LINE_LIMIT + 1];
    maps->count = 0;
    int directory = own_proc_directory();
    int fd = (int)(directory >= 0 ? SYS(SYS_openat, directory, "maps", O_RDONLY | O_CLOEXEC)
                                  : SYS(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC));
    if (fd < 0)
        return false;
    size_t filled = 0;
    bool good = true;
    for (;;) {
        long got = SYS(SYS_read, fd, text + filled, sizeof text - 1 - filled);
        if (got <= 0) {
            good = got == 0;
            break;
        }
        filled += (size_t)got;
        text[filled] = 0;
        char *line = text, *end;
        while ((end = memchr(line, '\n', filled - (size_t)(line - text)))) {
            *end = 0;
            good = good && add_line(maps, line);
            line = end + 1;
        }
        filled -= (size_t)(line - text);
        memmove(text, line, filled);
    }
    SYS(SYS_close, fd);
    return good && maps->count;
}

void maps_free(struct maps *maps)
{
    if (maps->rows)
        own_pages_free(maps->rows, maps->capacity);
    *maps = (struct maps){0};
}

const struct mapping *maps_find(const struct maps *maps, uint64_t address)
{
    size_t low = 0, high = maps->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (maps->rows[middle].high <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < maps->count && maps->rows[low].low <= address ? &maps->rows[low] : NULL;
}
