#define _GNU_SOURCE
#include "modules.h"

#include "arena.h"
#include "memory.h"
#include "protocol.h"
#include "sys.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

struct row {
    struct dl_phdr_info *info;
    uint64_t low, high;
    const ElfW(Phdr) *tls;
};

/* How libthread_db finds l_tls_offset in a link_map: bits, number, offset. In libc's .dynsym for debuggers. */
struct field_description {
    uint32_t bits, count, offset;
};

extern const char own_start[] __asm__("__ehdr_start") __attribute__((visibility("hidden")));

static void measure(struct dl_phdr_info *info, struct row *row)
{
    *row = (struct row){.info = info, .low = UINT64_MAX};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_TLS)
            row->tls = segment;
        if (segment->p_type != PT_LOAD)
            continue;
        uint64_t low = page_down(info->dlpi_addr + segment->p_vaddr);
        uint64_t high = page_up(info->dlpi_addr + segment->p_vaddr + segment->p_memsz);
        row->low = low < row->low ? low : row->low;
        row->high = high > row->high ? high : row->high;
    }
}

static bool is_own(const struct row *row)
{
    return (uint64_t)own_start >= row->low && (uint64_t)own_start < row->high;
}

static int see_first(struct dl_phdr_info *info, size_t size, void *to)
{
    (void)size;
    struct row row;
    measure(info, &row);
    *(struct row *)to = row;
    return 1;
}

void modules_executable(uint64_t *low, uint64_t *high)
{
    struct row row = {0};
    dl_iterate_phdr(see_first, &row);
    *low = row.low;
    *high = row.high;
}

static uint64_t own_low, own_high;

bool modules_own_code(uint64_t address)
{
    return address >= own_low && address < own_high;
}

static int register_own_data(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    struct row row;
    measure(info, &row);
    if (is_own(&row)) {
        own_low = row.low;
        own_high = row.high;
    }
    for (int i = 0; i < info->dlpi_phnum && is_own(&row); i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && segment->p_flags & PF_W)
            own_pages_register((void *)(info->dlpi_addr + segment->p_vaddr), segment->p_memsz);
    }
    return is_own(&row);
}

void modules_register_own_data(void)
{
    dl_iterate_phdr(register_own_data, NULL);
}

static int see_own(struct dl_phdr_info *info, size_t size, void *to)
{
    (void)size;
    struct row row;
    measure(info, &row);
    if (!is_own(&row))
        return 0;
    struct tls_image *image = to;
    image->module = info->dlpi_tls_modid;
    image->block = info->dlpi_tls_data;
    image->initial = row.tls ? (const uint8_t *)info->dlpi_addr + row.tls->p_vaddr : NULL;
    return 1;
}

struct tls_image modules_own_tls(void)
{
    struct tls_image image = {0};
    dl_iterate_phdr(see_own, &image);
    return image;
}

/* Offset of the module's block from every thread's tp, when it has a fixed one. dl_iterate_phdr holds the loader's
 * lock, so the list of link maps stands still. */
static bool static_tls_offset(const struct dl_phdr_info *info, int64_t *offset)
{
    static const struct field_description *field;
    static struct link_map *first;
    if (!info->dlpi_tls_modid)
        return false;
    if (!field)
        field = dlsym(RTLD_DEFAULT, "_thread_db_link_map_l_tls_offset");
    if (!first) {
        first = _r_debug.r_map;
        while (first && first->l_prev)
            first = first->l_prev;
    }
    for (struct link_map *map = first; field && field->bits == 64 && map; map = map->l_next) {
        if (map->l_name != info->dlpi_name || map->l_addr != info->dlpi_addr)
            continue;
        int64_t distance;
        memcpy(&distance, (const char *)map + field->offset, sizeof distance);
        *offset = -distance;
        return distance > 0; /* 0: none yet, -1: never will (NO_TLS_OFFSET, FORCED_DYNAMIC_TLS_OFFSET) */
    }
    return false;
}

static void build_id(const struct dl_phdr_info *info, const uint8_t **id, uint8_t *size)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_NOTE)
            continue;
        uint64_t align = segment->p_align == 8 ? 8 : 4;
        const uint8_t *at = (const uint8_t *)info->dlpi_addr + segment->p_vaddr, *end = at + segment->p_memsz;
        while (at + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *note = (const void *)at;
            const uint8_t *name = at + sizeof *note;
            const uint8_t *content = at + ((sizeof *note + note->n_namesz + align - 1) & ~(align - 1));
            if (content + note->n_descsz > end)
                break;
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(name, "GNU", 4) == 0 &&
                note->n_descsz <= UINT8_MAX) {
                *id = content;
                *size = (uint8_t)note->n_descsz;
                return;
            }
            at = content + ((note->n_descsz + align - 1) & ~(align - 1));
        }
    }
}

static int list_one(struct dl_phdr_info *info, size_t size, void *to)
{
    (void)size;
    struct reply *reply = to;
    struct row row;
    measure(info, &row);
    const uint8_t *id = NULL;
    uint8_t id_size = 0;
    int64_t offset = 0;
    char path[PATH_MAX];
    const char *name = info->dlpi_name;
    bool is_vdso = getauxval(AT_SYSINFO_EHDR) - row.low < row.high - row.low;
    if (is_own(&row) || is_vdso || !row.high)
        return 0;
    if (reply->size == sizeof(struct frame_header)) { /* the first: the executable has no name here */
        long length = SYS(SYS_readlinkat, own_proc_directory(), "exe", path, sizeof path - 1);
        path[length > 0 ? length : 0] = 0;
        name = path;
    }
    bool fixed = static_tls_offset(info, &offset);
    build_id(info, &id, &id_size);
    size_t length = strlen(name);
    put_u64(reply, info->dlpi_addr);
    put_u64(reply, row.low);
    put_u64(reply, row.high);
    put_u64(reply, (uint64_t)offset);
    put_u32(reply, (uint32_t)info->dlpi_tls_modid);
    put_u8(reply, fixed);
    put_u8(reply, id_size);
    put_u16(reply, (uint16_t)length);
    put_bytes(reply, id, id_size);
    put_bytes(reply, name, length);
    return 0;
}

void modules_list(struct reply *reply)
{
    dlsym(RTLD_DEFAULT, "_thread_db_link_map_l_tls_offset"); /* resolve before the lock is held */
    dl_iterate_phdr(list_one, reply);
}

void symbol_range(const void *function, uint64_t *low, uint64_t *high)
{
    Dl_info info;
    const ElfW(Sym) *symbol = NULL;
    *low = (uint64_t)function;
    *high = *low + 1;
    if (dladdr1(function, &info, (void **)&symbol, RTLD_DL_SYMENT) && symbol && info.dli_saddr)
        *high = (*low = (uint64_t)info.dli_saddr) + (symbol->st_size ? symbol->st_size : 1);
}

/* libc_nonshared.a's functions exist only as copies inside programs that use them. */
int __cxa_atexit(void (*)(void *), void *, void *);
int __cxa_at_quick_exit(void (*)(void *), void *);
int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *);

static int stand_in_atexit(void (*function)(void))
{
    return __cxa_atexit((void (*)(void *))(void *)function, NULL, NULL);
}

static int stand_in_at_quick_exit(void (*function)(void))
{
    return __cxa_at_quick_exit((void (*)(void *))(void *)function, NULL);
}

static int stand_in_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    return __register_atfork(prepare, parent, child, NULL);
}

uint64_t modules_lookup(const char *name)
{
    static const struct {
        const char *name;
        void *function;
    } stand_ins[] = {
        {"atexit", (void *)stand_in_atexit},
        {"at_quick_exit", (void *)stand_in_at_quick_exit},
        {"pthread_atfork", (void *)stand_in_pthread_atfork},
    };
    for (size_t i = 0; i < sizeof stand_ins / sizeof *stand_ins; i++)
        if (strcmp(name, stand_ins[i].name) == 0)
            return (uint64_t)stand_ins[i].function;
    return (uint64_t)dlsym(RTLD_DEFAULT, name);
}

/* End of the file's last segment, when it came out where it should, else 0. */
static int end_of(struct dl_phdr_info *info, size_t size, void *to)
{
    (void)size;
    struct row row, *wanted = to;
    measure(info, &row);
    if (info->dlpi_addr || row.low != wanted->low)
        return 0;
    wanted->high = row.high;
    return 1;
}

const char *modules_load(const char *path, uint64_t address, uint64_t size)
{
    const char *problem = "the address range was not reserved";
    for (int attempt = 0; attempt < 4; attempt++) {
        if (!arena_open(address, size))
            return problem;
        void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        struct link_map *map = NULL;
        struct row row = {.low = address};
        if (!handle) {
            const char *why = dlerror();
            arena_close(address, size, 0);
            return why ? why : "dlopen failed";
        }
        if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map->l_addr == 0 && dl_iterate_phdr(end_of, &row) &&
            row.high <= address + page_up(size) && (uint64_t)map->l_ld >= address && (uint64_t)map->l_ld < row.high) {
            arena_close(address, size, row.high - address);
            return NULL;
        }
        /* Somebody mapped something into the gap in between; or the loader takes the file for one it has already (same
         * device and inode: an earlier file was deleted); or the file asks for another place. */
        dlclose(handle);
        arena_close(address, size, 0);
        problem = "the loader did not put the file at its addresses";
    }
    return problem;
}
