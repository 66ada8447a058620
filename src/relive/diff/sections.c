/* Kinds of sections, relocations in order, and where the instruction around each relative field ends. */
#include <stdlib.h>
#include <string.h>

#include "atoms.h"

enum { SHT_RELA = 4, SHT_NOTE = 7, SHT_NOBITS = 8, SHT_INIT_ARRAY = 14, SHT_FINI_ARRAY, SHT_PREINIT_ARRAY };
enum { SHF_WRITE = 1, SHF_ALLOC = 2, SHF_EXECINSTR = 4, SHF_TLS = 0x400 };
#define SHT_X86_64_UNWIND 0x70000001u

bool has_prefix(Str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && !memcmp(s.p, prefix, n);
}

static Str string_at(Str table, uint64_t offset)
{
    if (offset >= table.n) return (Str){(const uint8_t *)"", 0};
    const uint8_t *end = memchr(table.p + offset, 0, table.n - offset);
    if (!end) return (Str){(const uint8_t *)"", 0};
    return (Str){table.p + offset, (uint64_t)(end - (table.p + offset))};
}

Str symbol_name(Object *o, uint64_t index)
{
    if (!o->symbol_names[index].p) o->symbol_names[index] = string_at(o->in.names, o->in.symbols[index].name);
    return o->symbol_names[index];
}

/* cut.section_kinds */
static uint8_t kind_of(Str name, const Shdr *s)
{
    uint64_t flags = s->flags;
    if (!(flags & SHF_ALLOC) || s->type == SHT_NOTE || s->type == SHT_X86_64_UNWIND) return 0;
    if (name.n == 9 && has_prefix(name, ".eh_frame")) return 0;
    if (flags & SHF_TLS) return TLS;
    if (flags & SHF_EXECINSTR) return TEXT;
    if (has_prefix(name, ".gcc_except_table")) return LSDA;
    if (s->type >= SHT_INIT_ARRAY && s->type <= SHT_PREINIT_ARRAY) return INIT;
    if (has_prefix(name, ".ctors") || has_prefix(name, ".dtors") || has_prefix(name, ".init_array") ||
        has_prefix(name, ".fini_array"))
        return INIT;
    return !(flags & SHF_WRITE) || has_prefix(name, ".data.rel.ro") ? CONST : DATA;
}

static bool inside(const Object *o, const Shdr *s)
{
    return s->offset <= o->in.size && s->size <= o->in.size - s->offset;
}

typedef struct {
    Reloc r;
    size_t at;
} Placed;

static int by_offset(const void *a, const void *b)
{
    const Placed *x = a, *y = b;
    if (x->r.offset != y->r.offset) return x->r.offset < y->r.offset ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Stable, by offset; assemblers write them in order, clang's some not. */
static int sort_section(Reloc *rows, size_t n)
{
    size_t i = 1;
    while (i < n && rows[i - 1].offset <= rows[i].offset) i++;
    if (i >= n) return OK;
    Placed *all = malloc(n * sizeof *all);
    if (!all) return NO_MEMORY;
    for (i = 0; i < n; i++) all[i] = (Placed){rows[i], i};
    qsort(all, n, sizeof *all, by_offset);
    for (i = 0; i < n; i++) rows[i] = all[i].r;
    free(all);
    return OK;
}

/* elf.object.ElfObject.relocations */
static int read_relocations(Object *o)
{
    uint64_t n = o->in.section_count;
    uint64_t *table = calloc(n, sizeof *table); /* section -> its relocation section */
    if (!table) return NO_MEMORY;
    int result = OK;
    size_t total = 0;
    for (uint64_t i = 0; i < n; i++)
        if (o->in.sections[i].type == SHT_RELA && o->in.sections[i].info < n) table[o->in.sections[i].info] = i;
    for (uint64_t i = 0; i < n && !result; i++) {
        if (!(o->in.sections[i].flags & SHF_ALLOC)) table[i] = 0;
        const Shdr *s = &o->in.sections[table[i]];
        if (!table[i]) continue;
        if (s->size % sizeof(Rela)) result = TRUNCATED;
        if (!inside(o, s)) result = ODD;
        total += s->size / sizeof(Rela);
    }
    if (!result && (!(o->all = malloc((total + 1) * sizeof *o->all)))) result = NO_MEMORY;
    bool bad_symbol = false, outside = false;
    for (uint64_t i = 0; i < n && !result; i++) {
        o->all_first[i] = o->all_count;
        if (!table[i]) continue;
        const Shdr *s = &o->in.sections[table[i]];
        const Rela *in = (const Rela *)(const void *)(o->in.data + s->offset);
        Reloc *first = o->all + o->all_count;
        size_t count = s->size / sizeof(Rela);
        for (size_t k = 0; k < count; k++) {
            first[k] = (Reloc){(uint32_t)i, in[k].symbol, in[k].type, in[k].offset, in[k].addend};
            bad_symbol |= in[k].symbol >= o->in.symbol_count;
            outside |= in[k].offset > o->in.sections[i].size;
        }
        result = sort_section(first, count);
        o->all_count += count;
    }
    o->all_first[n] = o->all_count;
    free(table);
    return result ? result : bad_symbol ? NO_SYMBOL : outside ? OUTSIDE : OK;
}

enum { IMM8 = 0, IMM32 = 256, IMM8_0F = 512, NOT_0F = 768, BOTH = 1024 }; /* in Input.decode */

/* arch.x86_64.displacement_bias for one field: 4 plus the immediate behind it.  -1: it must be disassembled. */
static int bias_of(const uint8_t *decode, const uint8_t *code, uint64_t field)
{
    uint8_t back[7] = {0}; /* back[n]: n bytes before the field; nothing lies before a section */
    for (unsigned n = 1; n <= 6 && n <= field; n++) back[n] = code[field - n];
    uint8_t modrm = back[1], opcode = back[2], before = back[3], third = back[4];
    if ((modrm & 0xC7) != 0x05) return 4;
    unsigned reg = modrm >> 3 & 7;
    bool two = before == 0x0F && !decode[NOT_0F + opcode] && !(opcode == 0xC7 && reg == 0);
    bool imm8 = two ? decode[IMM8_0F + opcode] : decode[IMM8 + opcode] || (opcode == 0xF6 && reg < 2);
    bool imm32 = !two && (decode[IMM32 + opcode] || (opcode == 0xF7 && reg < 2));
    bool vex = (third == 0xC5 && decode[BOTH + opcode]) || (back[5] == 0xC4 && (uint8_t)((third & 0x1F) - 1) < 3);
    bool evex = back[6] == 0x62 && third & 4;
    if ((imm32 && (before == 0x66 || third == 0x66)) || (before == 0x0F && decode[BOTH + opcode]) ||
        (third == 0x0F && (before == 0x38 || before == 0x3A)) || vex || evex)
        return -1;
    return 4 + imm8 + (imm32 ? before == 0x66 ? 2 : 4 : 0);
}

static int read_bias(Object *o)
{
    for (size_t i = 0; i < o->all_count; i++) {
        const Reloc *r = &o->all[i];
        o->all_bias[i] = 0;
        if (o->kinds[r->section] != TEXT || r->type >= 256 || !o->in.relative[r->type]) continue;
        const Shdr *s = &o->in.sections[r->section];
        if (s->type == SHT_NOBITS || !inside(o, s)) return ODD;
        int bias = bias_of(o->in.decode, o->in.data + s->offset, r->offset);
        if (bias < 0) return UNSURE;
        o->all_bias[i] = bias;
    }
    return OK;
}

int read_sections(Object *o)
{
    uint64_t n = o->in.section_count;
    o->kinds = calloc(n, 1);
    o->all_first = calloc(n + 1, sizeof *o->all_first);
    if (!o->kinds || !o->all_first) return NO_MEMORY;
    for (uint64_t i = 0; i < n; i++)
        o->kinds[i] = kind_of(string_at(o->in.section_names, o->in.sections[i].name), &o->in.sections[i]);
    int result = read_relocations(o);
    if (result) return result;
    o->all_bias = malloc((o->all_count + 1) * sizeof *o->all_bias);
    if (!o->all_bias) return NO_MEMORY;
    if (!o->in.bias) return read_bias(o);
    memcpy(o->all_bias, o->in.bias, o->all_count * sizeof *o->all_bias);
    return OK;
}
