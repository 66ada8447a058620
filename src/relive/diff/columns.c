/* What each reference of an object means, the names of its atoms, and the numbers of those without a name.
 * `columns.py` is the same in Python. */
#include <stdlib.h>
#include <string.h>

#include "atoms.h"

enum { STB_LOCAL = 0, SHN_ABS = 0xfff1, SHT_NOBITS = 8 };

EXPORT int relive_diff_atoms(const Input *in, Interner *interner, Object **out);
EXPORT void relive_diff_free(Object *o);
EXPORT void *relive_diff_column(Object *o, int which, uint64_t *count);

static void *zeroed(size_t count, size_t size) { return calloc(count + 1, size); }

/* atoms._targets, and the relocations of the program's memory apart from those of .eh_frame and notes */
static int split(Object *o)
{
    uint64_t n = o->in.section_count;
    o->kept_first = zeroed(n + 1, sizeof *o->kept_first);
    o->kept = zeroed(o->all_count, sizeof *o->kept);
    o->eh = zeroed(o->all_count, sizeof *o->eh);
    o->bias = zeroed(o->all_count, sizeof *o->bias);
    o->eh_target = zeroed(o->all_count, sizeof *o->eh_target);
    if (!o->kept_first || !o->kept || !o->eh || !o->bias || !o->eh_target) return NO_MEMORY;
    for (uint64_t section = 0; section < n; section++) {
        o->kept_first[section] = o->kept_count;
        for (size_t i = o->all_first[section]; i < o->all_first[section + 1]; i++) {
            const Reloc *r = &o->all[i];
            if (o->kinds[section]) {
                o->bias[o->kept_count] = o->all_bias[i];
                o->table_entry[o->kept_count] = o->table_entry[i];
                o->kept[o->kept_count++] = *r;
            } else {
                int64_t offset = (int64_t)(o->in.symbols[r->symbol].value + (uint64_t)r->addend);
                o->eh_target[o->eh_count] = locate(o, o->in.where[r->symbol], offset);
                o->eh[o->eh_count++] = *r;
            }
        }
    }
    o->kept_first[n] = o->kept_count;
    return OK;
}

/* Columns of the references: atoms.Atoms._place */
static int place(Object *o)
{
    size_t n = o->kept_count;
    o->place = zeroed(n, sizeof *o->place);
    o->target = zeroed(n, sizeof *o->target);
    o->row_local = zeroed(n, 1);
    o->rows = zeroed(n, sizeof *o->rows);
    o->first = zeroed(o->pieces.count, sizeof *o->first);
    o->last = zeroed(o->pieces.count, sizeof *o->last);
    if (!o->place || !o->target || !o->row_local || !o->rows || !o->first || !o->last) return NO_MEMORY;
    const Pieces *p = &o->pieces;
    for (size_t i = 0; i < n; i++) {
        const Reloc *r = &o->kept[i];
        const Sym *s = &o->in.symbols[r->symbol];
        int64_t at = locate(o, r->section, (int64_t)r->offset);
        if (at < 0) return ODD; /* in an empty section */
        o->place[i] = at;
        int64_t inside = (int64_t)r->offset - p->start[at], raw = (int64_t)(s->value + (uint64_t)r->addend);
        Row *row = &o->rows[i];
        *row = (Row){(uint32_t)inside, r->type, 0, r->addend};
        o->row_local[i] = o->symbol_local[r->symbol];
        o->target[i] = -1;
        if (!o->row_local[i]) continue;
        int64_t shift = o->table_entry[i] ? -inside : o->bias[i];
        int64_t to = o->target[i] = locate(o, o->in.where[r->symbol], raw + shift);
        row->delta = raw - (to >= 0 ? p->start[to] : 0);
    }
    for (size_t a = 0; a < p->count; a++) {
        size_t low = o->kept_first[p->section[a]], high = o->kept_first[p->section[a] + 1];
        int64_t edges[2] = {p->start[a], p->end[a]}, found[2];
        for (int k = 0; k < 2; k++) {
            size_t first = low, last = high;
            while (first < last) {
                size_t middle = first + (last - first) / 2;
                if ((int64_t)o->kept[middle].offset < edges[k]) first = middle + 1;
                else last = middle;
            }
            found[k] = (int64_t)first;
            low = first;
        }
        o->first[a] = found[0];
        o->last[a] = found[1];
    }
    return OK;
}

static int compare_names(Str a, Str b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

static uint8_t lambda_flag(Str s)
{
    for (uint64_t i = 0; i + 1 < s.n; i++)
        if ((s.p[i] == 'U' && s.p[i + 1] == 'l') || (s.p[i] == '$' && s.p[i + 1] == '_')) return OF_LAMBDA;
    return 0;
}

/* The number of `name#n`: a local name that stands twice in a unit. */
static uint32_t numbered(Object *o, Str name, unsigned n)
{
    char text[16];
    unsigned at = sizeof text;
    for (unsigned left = n; left; left /= 10) text[--at] = (char)('0' + left % 10);
    text[--at] = '#';
    uint8_t *joined = malloc(name.n + sizeof text);
    if (!joined) return 0;
    memcpy(joined, name.p, name.n);
    memcpy(joined + name.n, text + at, sizeof text - at);
    uint32_t id = intern(o->intern, NAME, (Str){joined, name.n + sizeof text - at}, (Str){0}, (Str){0});
    free(joined);
    return id;
}

/* How often each local name was seen, by its number; numbers grow while an object is read. */
typedef struct {
    unsigned *counts;
    size_t size;
} Seen;

static unsigned *seen(Seen *s, uint32_t id)
{
    if (id >= s->size) {
        size_t size = (size_t)id * 2 + 1024;
        unsigned *grown = realloc(s->counts, size * sizeof *grown);
        if (!grown) return NULL;
        memset(grown + s->size, 0, (size - s->size) * sizeof *grown);
        s->counts = grown;
        s->size = size;
    }
    return &s->counts[id];
}

/* atoms.Atoms._name_atoms */
static int name_atoms(Object *o, Seen *counts)
{
    size_t n = o->pieces.count;
    o->is_global = zeroed(n, 1);
    o->label = zeroed(n, sizeof *o->label);
    o->aliases = zeroed(o->in.symbol_count, sizeof *o->aliases);
    Str *best = zeroed(n, sizeof *best);
    int result = o->is_global && o->label && o->aliases && best ? OK : NO_MEMORY;
    for (size_t i = 0; i < n && !result; i++) o->label[i] = PENDING;
    uint64_t rename = 0;
    for (uint64_t i = 0; i < o->in.symbol_count && !result; i++) {
        if (!is_named(o, i)) continue;
        const Sym *s = &o->in.symbols[i];
        int64_t value = (int64_t)s->value, atom = locate(o, o->in.where[i], value);
        if (atom < 0 || o->pieces.start[atom] != value) continue;
        Str name = symbol_name(o, i);
        if (!name.n) continue;
        bool local = s->info >> 4 == STB_LOCAL;
        if (local && (is_clone(name) || is_label(name))) continue;
        while (rename < o->in.rename_count && o->in.renamed[rename] < i) rename++;
        if (local && rename < o->in.rename_count && o->in.renamed[rename] == i) name = o->in.new_names[rename];
        uint32_t id = intern(o->intern, NAME, name, (Str){0}, (Str){0});
        if (local && id) {
            unsigned *count = seen(counts, id);
            if (!count) id = 0;
            if (count && (*count)++) id = numbered(o, name, *count - 1);
        }
        if (!id) {
            result = NO_MEMORY;
            break;
        }
        if (!local) o->is_global[atom] = 1;
        name = interned(o->intern, id);
        int64_t flags = local ? LOCAL_NAME | lambda_flag(name) : 0;
        o->aliases[o->alias_count++] = (Alias){(int64_t)id, atom, (int64_t)i, flags};
        bool held = o->label[atom] != PENDING;
        int64_t symbol = o->pieces.symbol[atom];
        bool held_local = held && o->in.symbols[symbol].info >> 4 == STB_LOCAL;
        /* A global name before a local one, then the alphabetically first. */
        if (!held || (held_local && !local) || (held_local == local && compare_names(best[atom], name) > 0)) {
            o->label[atom] = (int64_t)id;
            best[atom] = name;
            o->pieces.symbol[atom] = (int64_t)i;
        }
    }
    free(best);
    return result;
}

/* Names of references: of symbols that are not local, and of local atoms that have one. */
static int name_rows(Object *o)
{
    int64_t *ids = zeroed(o->in.symbol_count, sizeof *ids);
    if (!ids) return NO_MEMORY;
    int result = OK;
    for (size_t i = 0; i < o->kept_count && !result; i++) {
        uint32_t symbol = o->kept[i].symbol;
        if (!o->row_local[i]) {
            if (!ids[symbol]) ids[symbol] = intern(o->intern, NAME, symbol_name(o, symbol), (Str){0}, (Str){0});
            if (!ids[symbol]) result = NO_MEMORY;
            o->rows[i].target = ids[symbol];
        } else if (o->target[i] == o->place[i]) {
            o->rows[i].target = SELF;
        } else {
            o->rows[i].target = o->target[i] >= 0 ? o->label[o->target[i]] : PENDING;
        }
    }
    free(ids);
    return result;
}

static Str content_of(const Object *o, int64_t atom)
{
    const Shdr *s = &o->in.sections[o->pieces.section[atom]];
    if (s->type == SHT_NOBITS) return (Str){(const uint8_t *)"", 0};
    return (Str){o->in.data + s->offset + o->pieces.start[atom],
                 (uint64_t)(o->pieces.end[atom] - o->pieces.start[atom])};
}

/* atoms.Atoms._content_id */
static int64_t number_of(Object *o, int64_t atom, unsigned depth)
{
    if (o->content_id[atom] >= 0) return o->content_id[atom];
    if (depth > 200) return -1;
    o->content_id[atom] = SELF;
    for (int64_t i = o->first[atom]; i < o->last[atom]; i++) {
        if (o->rows[i].target != PENDING) continue;
        int64_t id = number_of(o, o->target[i], depth + 1);
        if (id < 0) return -1;
        o->rows[i].target = id;
    }
    Str content = content_of(o, atom);
    size_t count = o->last[atom] > o->first[atom] ? (size_t)(o->last[atom] - o->first[atom]) : 0;
    const uint8_t *rows = (const uint8_t *)(o->rows + o->first[atom]);
    uint32_t id =
        relive_diff_content(o->intern, o->kind[atom] == TEXT, content.p, content.n, rows, count * sizeof(Row));
    return o->content_id[atom] = id ? (int64_t)id : -1;
}

/* Numbers of what has no name.  Left to Python when a clone or nameless code is among them: their order matters, and
 * their exception tables. */
static int settle(Object *o)
{
    for (size_t i = 0; i < o->kept_count; i++) {
        if (o->rows[i].target != PENDING) continue;
        o->pending++;
        int64_t to = o->target[i];
        if (to < 0 || o->kind[to] == TEXT || o->pieces.symbol[to] >= 0) return OK;
    }
    for (size_t i = 0; i < o->kept_count; i++) {
        if (o->rows[i].target != PENDING) continue;
        int64_t id = number_of(o, o->target[i], 0);
        if (id < 0) return ODD;
        o->rows[i].target = id;
    }
    o->pending = 0;
    return OK;
}

static int work(Object *o)
{
    uint64_t n = o->in.symbol_count;
    o->symbol_names = zeroed(n, sizeof *o->symbol_names);
    o->symbol_local = zeroed(n, 1);
    if (!o->symbol_names || !o->symbol_local) return NO_MEMORY;
    for (uint64_t i = 0; i < n; i++) {
        const Sym *s = &o->in.symbols[i];
        uint32_t section = o->in.where[i];
        o->symbol_local[i] = s->info >> 4 == STB_LOCAL && section && s->shndx != SHN_ABS;
        bool far = s->value >= (uint64_t)OFFSET_LIMIT || s->size >= (uint64_t)OFFSET_LIMIT;
        if (far && section && section < o->in.section_count) return ODD;
    }
    for (uint64_t i = 0; i < o->in.respelled_count; i++)
        if (o->in.respelled[i] < n) o->symbol_names[o->in.respelled[i]] = o->in.spellings[i];
    int result = read_sections(o);
    if (!result) result = cut_object(o);
    if (!result) result = split(o);
    if (!result) result = place(o);
    if (result) return result;
    o->kind = zeroed(o->pieces.count, 1);
    o->content_id = zeroed(o->pieces.count, sizeof *o->content_id);
    if (!o->kind || !o->content_id) return NO_MEMORY;
    for (size_t i = 0; i < o->pieces.count; i++) {
        o->kind[i] = o->kinds[o->pieces.section[i]];
        o->content_id[i] = -1;
    }
    Seen counts = {0};
    result = name_atoms(o, &counts);
    free(counts.counts);
    if (!result) result = name_rows(o);
    return result ? result : settle(o);
}

/* What only the work needed: baselines of many units are kept for a whole session. */
static void let_go(Object *o)
{
    free(o->all);
    free(o->all_bias);
    free(o->all_first);
    free(o->kept_first);
    free(o->first_piece);
    free(o->symbol_names);
    o->all = NULL;
    o->all_bias = o->first_piece = NULL;
    o->all_first = o->kept_first = NULL;
    o->symbol_names = NULL;
    o->all_count = 0;
}

/* Reads an object; the result goes back with `relive_diff_free`, whatever is returned. */
int relive_diff_atoms(const Input *in, Interner *interner, Object **out)
{
    Object *o = *out = calloc(1, sizeof *o);
    if (!o) return NO_MEMORY;
    o->in = *in;
    o->intern = interner;
    int result = in->section_count && in->symbol_count ? work(o) : ODD;
    if (result != UNSURE) let_go(o);
    return result;
}

void relive_diff_free(Object *o)
{
    if (!o) return;
    void *all[] = {o->kinds,          o->symbol_local, o->symbol_names, o->all,          o->all_bias,   o->all_first,
                   o->first_piece,    o->kept,         o->eh,           o->kept_first,   o->bias,       o->place,
                   o->target,         o->eh_target,    o->table_entry,  o->row_local,    o->rows,       o->kind,
                   o->is_global,      o->first,        o->last,         o->label,        o->content_id, o->aliases,
                   o->pieces.section, o->pieces.start, o->pieces.end,   o->pieces.symbol};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(o);
}

/* A column by its number in library.COLUMNS; it lives as long as the object. */
void *relive_diff_column(Object *o, int which, uint64_t *count)
{
    struct {
        void *column;
        uint64_t count;
    } all[] = {
        {o->kinds, o->in.section_count},
        {o->symbol_local, o->in.symbol_count},
        {o->kept, o->kept_count},
        {o->eh, o->eh_count},
        {o->eh_target, o->eh_count},
        {o->bias, o->kept_count},
        {o->table_entry, o->kept_count},
        {o->place, o->kept_count},
        {o->target, o->kept_count},
        {o->row_local, o->kept_count},
        {o->rows, o->kept_count},
        {o->pieces.section, o->pieces.count},
        {o->pieces.start, o->pieces.count},
        {o->pieces.end, o->pieces.count},
        {o->pieces.symbol, o->pieces.count},
        {o->kind, o->pieces.count},
        {o->is_global, o->pieces.count},
        {o->first, o->pieces.count},
        {o->last, o->pieces.count},
        {o->label, o->pieces.count},
        {o->content_id, o->pieces.count},
        {o->aliases, o->alias_count},
        {&o->pending, 1},
        {o->all, o->all_count},
    };
    *count = which >= 0 && (size_t)which < sizeof all / sizeof *all ? all[which].count : 0;
    return *count ? all[which].column : NULL;
}
