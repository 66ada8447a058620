/* The exported functions: each returns 0, or -1 and leaves a message. */
#include "reader.h"

#include <stdlib.h>

/* After a failure nothing more is answered: tables may be half made. */
#define ENTER(d)                                                                                                       \
    do {                                                                                                               \
        if ((d)->error[0] || setjmp((d)->jump)) return -1;                                                             \
        (d)->buf_depth = 0;                                                                                            \
    } while (0)

EXPORT Dwarf *relive_dwarf_create(void) { return calloc(1, sizeof(Dwarf)); }

EXPORT const char *relive_dwarf_error(const Dwarf *d) { return d->error; }
EXPORT const char *relive_dwarf_hint(const Dwarf *d) { return d->hint; }
EXPORT uint32_t relive_dwarf_error_kind(const Dwarf *d) { return d->error_kind; }
EXPORT uint64_t relive_dwarf_hash(const char *p, uint64_t n) { return hash_bytes(p, n, 0); }
EXPORT uint64_t relive_dwarf_entries(const Dwarf *d) { return d->dies; }
EXPORT int relive_dwarf_relocatable(const Dwarf *d) { return d->relocatable; }

/* Opens over bytes that stay alive and unchanged until close. */
EXPORT int relive_dwarf_open(Dwarf *d, const uint8_t *data, uint64_t size)
{
    ENTER(d);
    elf_open(d, data, size);
    return 0;
}

/* The compressed sections, which the caller unpacks (so we need no zlib to build) and gives back before the index. */
EXPORT int relive_dwarf_packed(const Dwarf *d, uint64_t i, Packed *out)
{
    if (i >= d->packed.n) return 0;
    *out = d->packed.v[i];
    return 1;
}

EXPORT void relive_dwarf_unpacked(Dwarf *d, uint64_t i, const uint8_t *data) { d->packed.v[i].unpacked = data; }

EXPORT int relive_dwarf_index(Dwarf *d)
{
    ENTER(d);
    build_index(d);
    name_types(d);
    return 0;
}

typedef struct {
    const void *rows;
    uint64_t count, size;
} Rows;

enum Table { TYPES, VARIABLES, FUNCTIONS, PARTS, UNITS, FILES, LINES };

#define ROWS(vec)                                                                                                      \
    (Rows) { (vec).v, (vec).n, sizeof *(vec).v }

/* A table, made on the first request. The rows stay where they are until close (lines: until the next ones). */
EXPORT int relive_dwarf_table(Dwarf *d, int table, Rows *out)
{
    ENTER(d);
    switch (table) {
    case TYPES:
        if (!d->types_done) make_types(d);
        d->types_done = true;
        *out = ROWS(d->type_rows);
        break;
    case VARIABLES:
        if (!d->variables_done) {
            Map *maps = own(d, 2 * sizeof *maps);
            d->seen = maps;
            make_variables(d, &maps[0], &maps[1]);
        }
        d->variables_done = true;
        *out = ROWS(d->variable_rows);
        break;
    case FUNCTIONS:
    case PARTS:
        if (!d->functions_done) make_functions(d);
        d->functions_done = true;
        *out = table == FUNCTIONS ? ROWS(d->function_rows) : ROWS(d->part_rows);
        break;
    case UNITS:
        make_units(d);
        *out = ROWS(d->unit_rows);
        break;
    case FILES: *out = ROWS(d->files); break;
    case LINES: *out = ROWS(d->line_rows); break;
    default: fail(d, "no such table");
    }
    return 0;
}

/* Layout (which = 0) or vtable (1) text of a type, `type` as in its row. Valid until the next call. */
EXPORT int relive_dwarf_text(Dwarf *d, uint32_t type, int which, Str *out)
{
    ENTER(d);
    if (type >= d->types.n) fail(d, "no such type");
    Buf *layout = buf_push(d), *vtable = buf_push(d);
    layout_type(d, type, layout, vtable, 0);
    *out = which ? (Str){vtable->p, vtable->n} : (Str){layout->p, layout->n};
    return 0;
}

EXPORT int relive_dwarf_lines(Dwarf *d, uint32_t section, uint64_t low, uint64_t high)
{
    ENTER(d);
    read_lines(d, section, low, high);
    return 0;
}

static void free_map(Map *m)
{
    free(m->keys);
    free(m->values);
}

EXPORT void relive_dwarf_close(Dwarf *d)
{
    for (uint64_t i = 0; i < d->tables.n; i++)
        if (d->tables.v[i]) {
            free(d->tables.v[i]->v);
            free(d->tables.v[i]->specs);
            free(d->tables.v[i]->skips);
        }
    for (uint64_t i = 0; i < d->bufs.n; i++)
        if (d->bufs.v[i]) free(d->bufs.v[i]->p);
    for (unsigned i = 0; d->seen && i < 2; i++) free_map(&d->seen[i]);
    Map *maps[] = {&d->table_of,    &d->signature_of, &d->type_of, &d->type_named,
                   &d->spelling_of, &d->contained_of, &d->spans_of};
    for (unsigned i = 0; i < sizeof maps / sizeof *maps; i++) free_map(maps[i]);
    for (uint64_t i = 0; i < d->owned.n; i++) free(d->owned.v[i]);
    void *vectors[] = {d->infos.v,     d->packed.v,        d->units.v,         d->tables.v,    d->scopes.v,
                       d->types.v,     d->variables.v,     d->functions.v,     d->typedefs.v,  d->stack.v,
                       d->spellings.v, d->contained.v,     d->virtuals.v,      d->bufs.v,      d->owned.v,
                       d->type_rows.v, d->variable_rows.v, d->function_rows.v, d->part_rows.v, d->unit_rows.v,
                       d->line_rows.v, d->files.v,         d->directories.v,   d->spans.v,     d->closures.v};
    for (unsigned i = 0; i < sizeof vectors / sizeof *vectors; i++) free(vectors[i]);
    free(d);
}
