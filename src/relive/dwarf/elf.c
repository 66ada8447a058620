/* Memory, and the ELF side of an object: sections, symbols, relocations of debug sections.
 *
 * In a relocatable object the references between debug sections are relocations (Elf64_Rela, in-place value 0), so a
 * section is copied once and they are applied to the copy.  Those that name code or data are also noted by offset:
 * the symbol is the answer, not the value.  Format: ELF gABI chapter 4, psABI x86-64 table 4.9. */
#include "reader.h"

#include <elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void fail(Dwarf *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->error, sizeof r->error, format, arguments);
    va_end(arguments);
    longjmp(r->jump, 1);
}

void *grow(Dwarf *r, void *old, uint64_t *cap, uint64_t need, uint64_t item)
{
    uint64_t wanted = *cap ? *cap * 2 : 64;
    if (wanted < need) wanted = need;
    void *p = wanted > UINT32_MAX ? NULL : realloc(old, wanted * item);
    if (!p) fail(r, "out of memory");
    *cap = wanted;
    return p;
}

void *own(Dwarf *r, uint64_t size)
{
    void **slot = PUSH(r, r->owned);
    *slot = calloc(1, size ? size : 1);
    if (!*slot) fail(r, "out of memory");
    return *slot;
}

/* Texts: chunks that never move.  The limit catches garbage whose names refer to each other in ever longer circles. */
char *arena(Dwarf *r, uint64_t size)
{
    if (size > r->chunk_left) {
        uint64_t chunk = size > 1 << 16 ? size : 1 << 16;
        r->arena_total += chunk;
        if (r->arena_total > 64 * r->size + (64u << 20))
            fail(r, "the debug information describes unreasonably long names");
        r->chunk = own(r, chunk);
        r->chunk_left = chunk;
    }
    char *p = r->chunk;
    r->chunk += size;
    r->chunk_left -= size;
    return p;
}

static uint64_t slot_of(const Map *m, uint64_t key)
{
    uint64_t i = (key * 0x9e3779b97f4a7c15u) >> 20;
    while (m->keys[i & m->mask] && m->keys[i & m->mask] != key) i++;
    return i & m->mask;
}

uint32_t map_get(const Map *m, uint64_t key)
{
    if (!m->keys) return NONE;
    uint64_t i = slot_of(m, key);
    return m->keys[i] ? m->values[i] : NONE;
}

void map_put(Dwarf *r, Map *m, uint64_t key, uint32_t value)
{
    if (!m->keys || m->count * 2 > m->mask) {
        Map bigger = {.mask = m->keys ? m->mask * 2 + 1 : 255};
        bigger.keys = calloc(bigger.mask + 1, sizeof *bigger.keys);
        bigger.values = calloc(bigger.mask + 1, sizeof *bigger.values);
        if (!bigger.keys || !bigger.values) {
            free(bigger.keys);
            free(bigger.values);
            fail(r, "out of memory");
        }
        for (uint64_t i = 0; m->keys && i <= m->mask; i++)
            if (m->keys[i]) {
                uint64_t to = slot_of(&bigger, m->keys[i]);
                bigger.keys[to] = m->keys[i];
                bigger.values[to] = m->values[i];
            }
        bigger.count = m->count;
        free(m->keys);
        free(m->values);
        *m = bigger;
    }
    uint64_t i = slot_of(m, key);
    m->count += !m->keys[i];
    m->keys[i] = key;
    m->values[i] = value;
}

/* Ours, never 0, the same on every machine we run on (little endian); only ever compared with itself. */
uint64_t hash_bytes(const char *p, uint64_t n, uint64_t seed)
{
    uint64_t h = seed ^ n, w;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        h = mix(h, w);
    }
    w = 0;
    memcpy(&w, p, n);
    h = mix(mix(h, w), 0x2545f4914f6cdd1du);
    return h ? h : 1;
}

/* ---- sections ---- */
static uint64_t get(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, p, size);
    return v;
}

static Elf64_Shdr header(const Dwarf *r, uint64_t index)
{
    Elf64_Shdr h;
    memcpy(&h, r->headers + index * sizeof h, sizeof h);
    return h;
}

static const uint8_t *content(Dwarf *r, const Elf64_Shdr *h)
{
    if (h->sh_type == SHT_NOBITS) return r->data;
    if (h->sh_offset > r->size || h->sh_size > r->size - h->sh_offset)
        fail(r, "truncated: a section ends behind the end of the file");
    return r->data + h->sh_offset;
}

/* SHF_COMPRESSED (gABI) or .zdebug_* ("ZLIB" and a big-endian size, from GNU as before 2.26). */
static void note_packed(Dwarf *r, Section *s, bool old_style)
{
    Packed p = {.kind = ELFCOMPRESS_ZLIB};
    if (old_style) {
        if (s->size < 12 || memcmp(s->data, "ZLIB", 4)) fail(r, "a .zdebug section without its header");
        for (unsigned i = 4; i < 12; i++) p.size = p.size << 8 | s->data[i];
        p.data = s->data + 12;
        p.packed = s->size - 12;
    } else {
        if (s->size < sizeof(Elf64_Chdr)) fail(r, "a compressed section without its header");
        p.kind = (uint32_t)get(s->data, 4);
        p.size = get(s->data + 8, 8);
        p.data = s->data + sizeof(Elf64_Chdr);
        p.packed = s->size - sizeof(Elf64_Chdr);
    }
    *PUSH(r, r->packed) = p;
    s->packed = (uint32_t)r->packed.n;
}

static const char *const NAMES[D_COUNT] = {"abbrev",      "str",  "line",   "line_str",
                                           "str_offsets", "addr", "ranges", "rnglists"};

static void note_debug(Dwarf *r, const char *name, const Elf64_Shdr *h, uint32_t index)
{
    bool old_style = name[1] == 'z';
    const char *rest = name + (old_style ? 8 : 7); /* behind ".debug_" */
    Section s = {.data = content(r, h), .size = h->sh_type == SHT_NOBITS ? 0 : h->sh_size, .index = index};
    Section *target = NULL;
    if (!strcmp(rest, "info") || !strcmp(rest, "types")) {
        target = PUSH(r, r->infos);
    } else {
        for (unsigned i = 0; i < D_COUNT; i++)
            if (!strcmp(rest, NAMES[i]) && !r->debug[i].index) target = &r->debug[i];
    }
    if (!target) return;
    s.types = rest[0] == 't';
    *target = s;
    if (old_style || (h->sh_flags & SHF_COMPRESSED)) note_packed(r, target, old_style);
}

static void note_symbols(Dwarf *r, const Elf64_Shdr *h, bool extended)
{
    if (extended) {
        r->symtab_shndx = content(r, h);
        r->symtab_shndx_count = h->sh_size / 4;
    } else if (!r->symtab) {
        r->symtab = content(r, h);
        r->symbol_count = h->sh_size / sizeof(Elf64_Sym);
    }
}

void elf_open(Dwarf *r, const uint8_t *data, uint64_t size)
{
    Elf64_Ehdr e;
    r->data = data;
    r->size = size;
    if (size < sizeof e || memcmp(data, ELFMAG, SELFMAG)) fail(r, "not an ELF file");
    memcpy(&e, data, sizeof e);
    if (e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_ident[EI_DATA] != ELFDATA2LSB || e.e_machine != EM_X86_64)
        fail(r, "not an x86-64 ELF file");
    r->relocatable = e.e_type == ET_REL;
    if (e.e_shoff == 0 || e.e_shentsize != sizeof(Elf64_Shdr) || e.e_shoff > size ||
        size - e.e_shoff < sizeof(Elf64_Shdr))
        fail(r, "no section headers");
    r->headers = data + e.e_shoff;
    Elf64_Shdr first = header(r, 0);
    r->header_count = e.e_shnum ? e.e_shnum : first.sh_size;
    if (r->header_count > (size - e.e_shoff) / sizeof(Elf64_Shdr))
        fail(r, "truncated: the section headers end behind the end of the file");
    uint64_t names_at = e.e_shstrndx == SHN_XINDEX ? first.sh_link : e.e_shstrndx;
    if (names_at >= r->header_count) fail(r, "no section names");
    Elf64_Shdr names_header = header(r, names_at);
    const char *names = (const char *)content(r, &names_header);
    if (names_header.sh_size == 0 || names_header.sh_type != SHT_STRTAB || names[names_header.sh_size - 1])
        fail(r, "the section names do not end");
    r->rela_of = own(r, r->header_count * sizeof *r->rela_of);
    for (uint32_t i = 1; i < r->header_count; i++) {
        Elf64_Shdr h = header(r, i);
        if (h.sh_type == SHT_RELA && r->relocatable && h.sh_info < r->header_count) r->rela_of[h.sh_info] = i;
        else if (h.sh_type == SHT_SYMTAB || h.sh_type == SHT_SYMTAB_SHNDX)
            note_symbols(r, &h, h.sh_type == SHT_SYMTAB_SHNDX);
        else if (h.sh_name < names_header.sh_size && names[h.sh_name] == '.' &&
                 (!strncmp(names + h.sh_name, ".debug_", 7) || !strncmp(names + h.sh_name, ".zdebug_", 8)))
            note_debug(r, names + h.sh_name, &h, i);
    }
}

/* ---- relocations ---- */
static bool symbol(const Dwarf *r, uint64_t index, Elf64_Sym *out)
{
    if (index >= r->symbol_count) return false;
    memcpy(out, r->symtab + index * sizeof *out, sizeof *out);
    return true;
}

static int by_offset(const void *a, const void *b)
{
    uint64_t x = ((const Reloc *)a)->off, y = ((const Reloc *)b)->off;
    return x < y ? -1 : x > y;
}

static void relocate(Dwarf *r, Section *s, const Elf64_Shdr *h)
{
    const uint8_t *rows = content(r, h);
    uint64_t count = h->sh_size / sizeof(Elf64_Rela), wide = 0;
    uint8_t *copy = own(r, s->size);
    memcpy(copy, s->data, s->size);
    s->data = copy;
    for (uint64_t i = 0; i < count; i++) { /* how many name addresses: 8 bytes wide */
        uint64_t type = get(rows + i * sizeof(Elf64_Rela) + 8, 4);
        wide += type == R_X86_64_64 || type == R_X86_64_DTPOFF64 || type == R_X86_64_DTPOFF32;
    }
    s->relocs = own(r, wide * sizeof *s->relocs);
    bool sorted = true;
    for (uint64_t i = 0; i < count; i++) {
        Elf64_Rela rela;
        Elf64_Sym target;
        memcpy(&rela, rows + i * sizeof rela, sizeof rela);
        uint32_t type = (uint32_t)ELF64_R_TYPE(rela.r_info);
        unsigned width = type == R_X86_64_64 || type == R_X86_64_DTPOFF64 ? 8 : 4;
        if (type == R_X86_64_NONE) continue;
        if (type != R_X86_64_64 && type != R_X86_64_32 && type != R_X86_64_32S && type != R_X86_64_DTPOFF32 &&
            type != R_X86_64_DTPOFF64)
            fail(r, "unknown relocation type %u in a debug section", type);
        if (rela.r_offset > s->size || s->size - rela.r_offset < width || !symbol(r, ELF64_R_SYM(rela.r_info), &target))
            fail(r, "a relocation of a debug section points nowhere");
        uint64_t value = target.st_value + (uint64_t)rela.r_addend;
        memcpy(copy + rela.r_offset, &value, width);
        if (type == R_X86_64_32 || type == R_X86_64_32S) continue;
        if (s->reloc_count && s->relocs[s->reloc_count - 1].off > rela.r_offset) sorted = false;
        s->relocs[s->reloc_count++] =
            (Reloc){.off = rela.r_offset, .addend = rela.r_addend, .symbol = (uint32_t)ELF64_R_SYM(rela.r_info)};
    }
    if (!sorted) qsort(s->relocs, s->reloc_count, sizeof *s->relocs, by_offset);
}

const Section *prepare(Dwarf *r, Section *s)
{
    if (s->prepared) return s;
    if (s->packed) {
        const Packed *p = &r->packed.v[s->packed - 1];
        if (!p->unpacked) fail(r, "a compressed section was not unpacked");
        s->data = p->unpacked;
        s->size = p->size;
    }
    if (s->index && r->rela_of[s->index]) {
        Elf64_Shdr h = header(r, r->rela_of[s->index]);
        relocate(r, s, &h);
    }
    s->prepared = true;
    return s;
}

const Reloc *reloc_at(const Section *s, uint64_t off)
{
    uint64_t low = 0, high = s->reloc_count;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (s->relocs[middle].off < off) low = middle + 1;
        else high = middle;
    }
    return low < s->reloc_count && s->relocs[low].off == off ? &s->relocs[low] : NULL;
}

/* The address stored at `off` of a section, whose bytes say `value`. */
Loc locate(Dwarf *r, const Section *s, uint64_t off, uint64_t value)
{
    Loc loc = {.value = value};
    Elf64_Sym target;
    const Reloc *found = r->relocatable ? reloc_at(s, off) : NULL;
    if (!found || !symbol(r, found->symbol, &target)) return loc;
    loc.symbol = found->symbol;
    loc.addend = found->addend;
    loc.section = target.st_shndx;
    if (target.st_shndx == SHN_XINDEX && found->symbol < r->symtab_shndx_count)
        loc.section = (uint32_t)get(r->symtab_shndx + 4 * (uint64_t)found->symbol, 4);
    else if (target.st_shndx >= SHN_LORESERVE) loc.section = 0;
    return loc;
}

const char *string_at(Dwarf *r, enum DebugSection which, uint64_t off)
{
    const Section *s = prepare(r, &r->debug[which]);
    if (off >= s->size || s->data[s->size - 1]) /* the last string ends: then every string does */
        fail(r, "a name points outside .debug_%s", NAMES[which]);
    return (const char *)s->data + off;
}
