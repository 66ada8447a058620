/* Where the pieces of an object begin and end: `cut.cut_sections`, which says what and why. */
#include <stdlib.h>
#include <string.h>

#include "atoms.h"

enum { SHT_NOBITS = 8, SHF_WRITE = 1, SHF_EXECINSTR = 4, SHF_MERGE = 0x10, SHF_STRINGS = 0x20 };
enum { STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_TLS = 6, STT_GNU_IFUNC = 10 };
enum { R_PC32 = 2, R_PC64 = 24 };

typedef struct {
    uint64_t section;
    int64_t value, size;
    int64_t symbol;
} Named;

typedef struct {
    uint64_t section;
    int64_t offset;
} Mark;

typedef struct {
    Object *o;
    Named *named;
    size_t *named_first; /* section -> first of `named`; one more at the end */
    Mark *marks;         /* places that somebody refers to, in sections that are cut */
    size_t mark_count;
    int64_t *cuts; /* those of the section at hand, ascending */
    size_t cut_count, cut_room;
} Cutter;

static bool digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* cut.is_label */
bool is_label(Str s)
{
    static const char *const numbered[] = {"__func__.", "__FUNCTION__.", "__PRETTY_FUNCTION__.", "GCC_except_table"};
    if (has_prefix(s, ".L") || has_prefix(s, "CSWTCH.") || has_prefix(s, "switch.table.")) return true;
    for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++) {
        size_t n = strlen(numbered[i]);
        if (has_prefix(s, numbered[i]) && s.n > n && digit(s.p[n])) return true;
    }
    return false;
}

/* cut.is_clone */
bool is_clone(Str s)
{
    static const char *const kinds[] = {"part", "isra", "constprop", "cold", "lto_priv", "llvm", "warm"};
    for (uint64_t dot = 0; dot < s.n; dot++) {
        const uint8_t *found = memchr(s.p + dot, '.', s.n - dot);
        if (!found) return false;
        dot = (uint64_t)(found - s.p);
        Str rest = {s.p + dot + 1, s.n - dot - 1};
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            uint64_t at = strlen(kinds[i]);
            if (!has_prefix(rest, kinds[i])) continue;
            if (at == rest.n || rest.p[at] == '.' || (rest.p[at] == '\n' && at + 1 == rest.n)) return true;
        }
    }
    return false;
}

bool is_named(const Object *o, uint64_t symbol)
{
    unsigned type = o->in.symbols[symbol].info & 15;
    uint32_t section = o->in.where[symbol];
    if (!section || section >= o->in.section_count) return false;
    return type == STT_FUNC || type == STT_OBJECT || type == STT_TLS || type == STT_GNU_IFUNC ||
           (type == STT_NOTYPE && o->in.symbols[symbol].info >> 4);
}

/* atoms.Atoms.locate */
int64_t locate(const Object *o, uint64_t section, int64_t offset)
{
    if (section >= o->in.section_count) return -1;
    int64_t low = o->first_piece[section], high = o->first_piece[section + 1];
    if (low == high) return -1;
    int64_t first = low;
    while (low < high) { /* the first that begins behind it */
        int64_t middle = low + (high - low) / 2;
        if (o->pieces.start[middle] <= offset) low = middle + 1;
        else high = middle;
    }
    return low > first ? low - 1 : first;
}

static int add_piece(Object *o, uint64_t section, int64_t start, int64_t end, int64_t symbol)
{
    Pieces *p = &o->pieces;
    if (p->count == p->room) {
        p->room = p->room ? p->room * 2 : o->in.section_count + o->in.symbol_count;
        int64_t **columns[] = {&p->section, &p->start, &p->end, &p->symbol};
        for (size_t i = 0; i < 4; i++) {
            int64_t *grown = realloc(*columns[i], p->room * sizeof *grown);
            if (!grown) return NO_MEMORY;
            *columns[i] = grown;
        }
    }
    p->section[p->count] = (int64_t)section;
    p->start[p->count] = start;
    p->end[p->count] = end;
    p->symbol[p->count++] = symbol;
    return OK;
}

static int by_place(const void *a, const void *b)
{
    const Named *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    return x->symbol < y->symbol ? -1 : x->symbol > y->symbol;
}

static int by_mark(const void *a, const void *b)
{
    const Mark *x = a, *y = b;
    if (x->section != y->section) return x->section < y->section ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool one_piece(const Cutter *c, uint64_t section)
{
    const Named *first = c->named + c->named_first[section];
    return c->named_first[section + 1] - c->named_first[section] == 1 && first->value == 0 &&
           (uint64_t)first->size == c->o->in.sections[section].size;
}

static int add_cut(Cutter *c, int64_t offset)
{
    if (c->cut_count == c->cut_room) {
        c->cut_room = c->cut_room ? c->cut_room * 2 : 1024;
        int64_t *grown = realloc(c->cuts, c->cut_room * sizeof *grown);
        if (!grown) return NO_MEMORY;
        c->cuts = grown;
    }
    c->cuts[c->cut_count++] = offset;
    return OK;
}

/* cut._merge_units */
static int merge_units(Cutter *c, const Shdr *s)
{
    uint64_t unit = s->entsize ? s->entsize : 1;
    const uint8_t *data = c->o->in.data + s->offset;
    if (!(s->flags & SHF_STRINGS)) {
        for (uint64_t at = unit; at < s->size && at >= unit; at += unit)
            if (add_cut(c, (int64_t)at)) return NO_MEMORY;
        return OK;
    }
    if (s->type == SHT_NOBITS) return OK;
    for (uint64_t at = 0; s->size > unit && at < s->size - unit; at += unit) {
        if (unit == 1) { /* up to the next zero */
            const uint8_t *zero = memchr(data + at, 0, s->size - unit - at);
            if (!zero) break;
            at = (uint64_t)(zero - data);
        }
        bool is_zero = true;
        for (uint64_t i = 0; i < unit && is_zero; i++) is_zero = !data[at + i];
        if (is_zero && add_cut(c, (int64_t)(at + unit))) return NO_MEMORY;
    }
    return OK;
}

/* cut._is_open_text; -1: nobody can say */
static int open_text(const Object *o, const Shdr *s, int64_t low, int64_t end)
{
    if (s->type == SHT_NOBITS) return 1;
    const uint8_t *p = o->in.data + s->offset + low, *last = o->in.data + s->offset + end;
    for (const uint8_t *at = p; at < last; at++) {
        if ((*at >= 0x20 && *at < 0x7F) || *at == '\n' || *at == '\t' || *at == '\r') continue;
        return *at < 0x80 ? 0 : o->in.printable(p, (uint64_t)(end - low));
    }
    return 1;
}

static int anonymous(Cutter *c, uint64_t section, bool constant, int64_t low, int64_t high)
{
    size_t first = 0, last = c->cut_count;
    while (first < last) {
        size_t middle = first + (last - first) / 2;
        if (c->cuts[middle] <= low) first = middle + 1;
        else last = middle;
    }
    for (; first < c->cut_count && c->cuts[first] < high; first++) {
        int open = constant ? open_text(c->o, &c->o->in.sections[section], low, c->cuts[first]) : 0;
        if (open < 0) return ODD;
        if (open) continue;
        if (add_piece(c->o, section, low, c->cuts[first], -1)) return NO_MEMORY;
        low = c->cuts[first];
    }
    return add_piece(c->o, section, low, high, -1);
}

/* cut._cut_one */
static int cut_one(Cutter *c, uint64_t section)
{
    const Shdr *s = &c->o->in.sections[section];
    int64_t at = 0, size = (int64_t)s->size;
    bool constant = !(s->flags & (SHF_MERGE | SHF_WRITE | SHF_EXECINSTR));
    int result = OK;
    Named *named = c->named + c->named_first[section];
    size_t count = c->named_first[section + 1] - c->named_first[section];
    qsort(named, count, sizeof *named, by_place);
    if (s->flags & SHF_MERGE) {
        c->cut_count = 0;
        if (merge_units(c, s)) return NO_MEMORY;
    }
    for (size_t i = 0; i < count && !result; i++) {
        int64_t value = named[i].value, length = named[i].size;
        if (value < at) continue; /* an alias, or a label inside of another symbol */
        if (value > at) result = anonymous(c, section, constant, at, value);
        if (!length) {
            size_t k = i + 1;
            while (k < count && named[k].value <= value) k++;
            length = (k < count ? named[k].value : size) - value;
        }
        int64_t end = value + length < size ? value + length : size;
        if (end > value && !result) {
            result = add_piece(c->o, section, value, end, named[i].symbol);
            at = end;
        }
    }
    if (at < size && !result) result = anonymous(c, section, constant, at, size);
    return result;
}

/* Symbols by section (counted, then filled in), and the labels among them as marks. */
static int collect_named(Cutter *c)
{
    Object *o = c->o;
    uint64_t n = o->in.section_count;
    c->named_first = calloc(n + 2, sizeof *c->named_first);
    c->named = malloc((o->in.symbol_count + 1) * sizeof *c->named);
    uint8_t *role = calloc(o->in.symbol_count + 1, 1);
    int result = c->named_first && c->named && role ? OK : NO_MEMORY;
    for (uint64_t i = 0; i < o->in.symbol_count && !result; i++) {
        if (!is_named(o, i) || !o->kinds[o->in.where[i]]) continue;
        const Sym *s = &o->in.symbols[i];
        uint64_t section = o->in.where[i], size = o->in.sections[section].size;
        if (s->value > size || s->size >= (uint64_t)OFFSET_LIMIT || size >= (uint64_t)OFFSET_LIMIT) {
            result = ODD;
        } else if (!(s->info >> 4) && is_label(symbol_name(o, i))) {
            c->marks[c->mark_count++] = (Mark){section, (int64_t)s->value};
        } else {
            role[i] = 1;
            c->named_first[section + 2]++;
        }
    }
    for (uint64_t i = 0; i < n && !result; i++) c->named_first[i + 2] += c->named_first[i + 1];
    for (uint64_t i = 0; i < o->in.symbol_count && !result; i++) {
        if (!role[i]) continue;
        uint64_t section = o->in.where[i];
        const Sym *s = &o->in.symbols[i];
        c->named[c->named_first[section + 1]++] = (Named){section, (int64_t)s->value, (int64_t)s->size, (int64_t)i};
    }
    free(role);
    return result;
}

/* Places that are referred to, in sections that are more than one symbol. */
static int collect_marks(Cutter *c)
{
    Object *o = c->o;
    for (size_t i = 0; i < o->all_count; i++) {
        const Reloc *r = &o->all[i];
        uint64_t section = o->in.where[r->symbol];
        uint8_t kind = o->kinds[r->section];
        o->table_entry[i] = (r->type == R_PC32 || r->type == R_PC64) && (kind == CONST || kind == DATA);
        if (!o->symbol_local[r->symbol] || section >= o->in.section_count) continue;
        uint64_t value = o->in.symbols[r->symbol].value;
        if (value >= (uint64_t)OFFSET_LIMIT || r->addend >= OFFSET_LIMIT || r->addend <= -OFFSET_LIMIT) return ODD;
        int64_t offset = (int64_t)value + r->addend + o->all_bias[i];
        if (offset >= OFFSET_LIMIT) return ODD;
        if (o->table_entry[i] || !o->kinds[section] || o->in.sections[section].flags & SHF_MERGE) continue;
        if (!one_piece(c, section)) c->marks[c->mark_count++] = (Mark){section, offset < 0 ? 0 : offset};
    }
    bool sorted = true;
    for (size_t i = 1; i < c->mark_count && sorted; i++) sorted = by_mark(&c->marks[i - 1], &c->marks[i]) <= 0;
    if (!sorted) qsort(c->marks, c->mark_count, sizeof *c->marks, by_mark);
    return OK;
}

static int cut_all(Cutter *c)
{
    Object *o = c->o;
    size_t mark = 0;
    for (uint64_t section = 0; section < o->in.section_count; section++) {
        const Shdr *s = &o->in.sections[section];
        int result = OK;
        o->first_piece[section] = (int64_t)o->pieces.count;
        if (!o->kinds[section] || !s->size) continue;
        if (s->size >= (uint64_t)OFFSET_LIMIT) return ODD;
        if (s->type != SHT_NOBITS && (s->offset > o->in.size || s->size > o->in.size - s->offset)) return ODD;
        if (one_piece(c, section)) {
            result = add_piece(o, section, 0, (int64_t)s->size, c->named[c->named_first[section]].symbol);
        } else {
            while (mark < c->mark_count && c->marks[mark].section < section) mark++;
            c->cut_count = 0;
            for (; mark < c->mark_count && c->marks[mark].section == section; mark++)
                if (!c->cut_count || c->cuts[c->cut_count - 1] != c->marks[mark].offset)
                    if (add_cut(c, c->marks[mark].offset)) return NO_MEMORY;
            result = cut_one(c, section);
        }
        if (result) return result;
    }
    o->first_piece[o->in.section_count] = (int64_t)o->pieces.count;
    return OK;
}

int cut_object(Object *o)
{
    Cutter c = {.o = o};
    o->table_entry = calloc(o->all_count + 1, 1);
    o->first_piece = calloc(o->in.section_count + 1, sizeof *o->first_piece);
    c.marks = malloc((o->all_count + o->in.symbol_count + 1) * sizeof *c.marks);
    int result = o->table_entry && o->first_piece && c.marks ? OK : NO_MEMORY;
    if (!result) result = collect_named(&c);
    if (!result) result = collect_marks(&c);
    if (!result) result = cut_all(&c);
    free(c.named);
    free(c.named_first);
    free(c.marks);
    free(c.cuts);
    return result;
}
