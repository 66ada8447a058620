/* The rows that Python reads, and the exported functions: each returns 0, or -1 and leaves a message. */
#include "reader.h"

#include "codes.h"

#include <stdio.h>
#include <stdlib.h>

static const Str EMPTY = {"", 0};

/* A DIE and what it leaves to DW_AT_abstract_origin and DW_AT_specification: the first one that says it counts. */
typedef struct {
    Str name, linkage;
    uint64_t type, anchor; /* anchor: the DIE at the end, whose place in the tree is the place of the entity */
    bool has_type, external, noreturn, artificial, by_origin;
    uint32_t file, line;
} Chain;

static Chain follow(Dwarf *r, const Die *first)
{
    Chain c = {.name = EMPTY, .linkage = EMPTY, .anchor = first->off, .file = NONE};
    Die other;
    const Die *d = first;
    for (unsigned step = 0; step < 8; step++) {
        if (!c.name.n)
            c.name = die_text(r, d, A_NAME);
        if (!c.linkage.n)
            c.linkage = die_text(r, d, A_LINKAGE);
        if (!c.has_type && HAS(d, A_TYPE)) {
            c.has_type = true;
            c.type = d->v[A_TYPE].u;
        }
        if (!c.line && HAS(d, A_LINE)) {
            c.line = (uint32_t)d->v[A_LINE].u;
            if (HAS(d, A_FILE))
                c.file = file_number(r, d->unit, d->v[A_FILE].u);
        }
        c.external |= HAS(d, A_EXTERNAL);
        c.noreturn |= HAS(d, A_NORETURN);
        c.artificial |= HAS(d, A_ARTIFICIAL);
        uint64_t next = HAS(d, A_ORIGIN) ? d->v[A_ORIGIN].u : HAS(d, A_SPEC) ? d->v[A_SPEC].u : 0;
        if (!next)
            break;
        c.by_origin |= HAS(d, A_ORIGIN);
        c.anchor = next;
        die_at(r, next, &other);
        d = &other;
    }
    return c;
}

/* ---- types ---- */
static void make_types(Dwarf *r)
{
    r->type_rows.n = 0;
    for (uint32_t i = 0; i < r->types.n; i++) {
        Type *t = &r->types.v[i];
        if (t->flags & T_UNNAMED)
            continue;
        if ((t->flags & T_DECLARATION) && map_get(&r->type_named, hash_bytes(t->spell.p, t->spell.n, 0)) != NONE)
            continue;
        if (!(t->flags & T_DECLARATION))
            layout_type(r, i, NULL, NULL, 0);
        Die d;
        die_at(r, t->off, &d);
        TypeRow *row = PUSH(r, r->type_rows);
        *row = (TypeRow){.name = t->key, .show = t->show, .layout = t->layout, .vtable = t->vtable, .contained = t->contained};
        row->name_hash = hash_bytes(t->key.p, t->key.n, 0);
        row->size = HAS(&d, A_SIZE) ? d.v[A_SIZE].u : 0;
        row->type = i;
        row->unit = t->unit;
        row->tag = t->tag;
        row->flags = t->flags;
        row->line = HAS(&d, A_LINE) ? (uint32_t)d.v[A_LINE].u : 0;
        row->file = HAS(&d, A_FILE) ? file_number(r, d.unit, d.v[A_FILE].u) : NONE;
    }
}

/* ---- variables ---- */
static Loc at_operand(Dwarf *r, const Die *d, const uint8_t **p, const uint8_t *end, unsigned size)
{
    const Section *s = d->unit->section;
    uint64_t at = (uint64_t)(*p - s->data), value = read_fixed(r, p, end, size);
    return locate(r, s, at, value);
}

/* What static_location let through: an address or a thread-local offset, perhaps more. False: the expression computes a
 * value (DW_OP_stack_value: the optimiser dropped a pointer to something static), so nothing is stored there. */
static bool location(Dwarf *r, const Die *d, Loc *out, uint32_t *flags)
{
    const Val *v = &d->v[A_LOCATION];
    const uint8_t *p = v->p, *end = p + v->u;
    Loc loc = {0};
    switch (*p++) {
    case OP_ADDR: case OP_CONST8U: loc = at_operand(r, d, &p, end, 8); break;
    case OP_CONST4U: loc = at_operand(r, d, &p, end, 4); break;
    default: loc = address_indexed(r, d->unit, read_uleb(r, &p, end)); break;
    }
    for (; p < end; ) {
        uint8_t op = *p++;
        if (op == OP_FORM_TLS_ADDRESS || op == OP_GNU_PUSH_TLS) {
            *flags |= V_TLS;
        } else if (op == OP_PLUS_UCONST) {
            uint64_t more = read_uleb(r, &p, end);
            loc.value += more;
            loc.addend = (int64_t)((uint64_t)loc.addend + more);
        } else if (op == OP_PIECE) { /* split by the optimiser */
            *flags |= V_PIECES;
            break;
        } else {
            return false;
        }
    }
    *out = loc;
    return true;
}

/* Size in bytes, 0 when unknown; *is_const when it, or its elements, are const. */
static uint64_t type_size(Dwarf *r, uint64_t off, bool *is_const)
{
    uint64_t count = 1;
    Die d, bound;
    for (unsigned step = 0; off && step < DEPTH; step++) {
        die_at(r, off, &d);
        if (d.abbrev->tag == TAG_CONST)
            *is_const = true;
        uint64_t definition = HAS(&d, A_DECLARATION) || HAS(&d, A_SIGNATURE) ? definition_of(r, &d) : 0;
        if (definition && definition != off)
            die_at(r, definition, &d);
        if (HAS(&d, A_SIZE))
            return d.v[A_SIZE].u * count;
        if (d.abbrev->tag == TAG_UNSPECIFIED_TYPE) /* decltype(nullptr), the only one in C++ */
            return 8 * count;
        if (d.abbrev->tag == TAG_PTR_TO_MEMBER) {
            if (HAS(&d, A_TYPE) && d.v[A_TYPE].u)
                die_at(r, d.v[A_TYPE].u, &d);
            return (d.abbrev->tag == TAG_SUBROUTINE ? 16 : 8) * count;
        }
        Kids kids = kids_of(&d);
        for (const Abbrev *a; d.abbrev->tag == TAG_ARRAY && (a = kids_next(r, &kids)) != NULL;) {
            if (a->tag != TAG_SUBRANGE)
                continue;
            kids_read(r, &kids, &bound);
            count *= HAS(&bound, A_COUNT) ? bound.v[A_COUNT].u : HAS(&bound, A_UPPER) ? bound.v[A_UPPER].u + 1 : 0;
        }
        if (!HAS(&d, A_TYPE))
            return d.abbrev->tag == TAG_POINTER || d.abbrev->tag == TAG_REFERENCE ? 8 * count : 0;
        if (d.abbrev->tag == TAG_REFERENCE || d.abbrev->tag == TAG_RVALUE_REFERENCE || d.abbrev->tag == TAG_POINTER)
            return 8 * count;
        off = d.v[A_TYPE].u;
    }
    return 0;
}

/* "0.1": the lexical blocks from the function down; *scope becomes the function, or stays. */
static Str block_path(Dwarf *r, uint32_t *scope)
{
    uint32_t at = *scope, ordinals[DEPTH];
    unsigned n = 0;
    for (; at != NONE && r->scopes.v[at].kind == K_BLOCK && n < DEPTH; at = r->scopes.v[at].parent)
        ordinals[n++] = r->scopes.v[at].ordinal;
    if (at == NONE || (r->scopes.v[at].kind != K_FUNCTION && r->scopes.v[at].kind != K_INLINED))
        return EMPTY;
    *scope = at;
    if (!n)
        return EMPTY;
    Buf *b = buf_push(r);
    while (n--)
        buf_format(r, b, n ? "%u." : "%u", ordinals[n]);
    Str path = buf_keep(r, b);
    buf_pop(r);
    return path;
}

static void make_variable(Dwarf *r, const Note *note, Map *seen, Map *ordinals)
{
    Die d;
    die_at(r, note->off, &d);
    uint32_t flags = 0;
    Loc loc;
    if (!location(r, &d, &loc, &flags))
        return;
    if (!r->relocatable && !(flags & V_TLS) && (loc.value == 0 || loc.value >= UINT64_MAX - 1))
        return; /* the linker dropped its section and wrote a tombstone */
    Chain c = follow(r, &d);
    uint32_t scope = scope_of(r, c.anchor);
    if (!c.by_origin && c.anchor != d.off && (name_scope(r, scope, 0)->flags & T_LOCAL))
        scope = note->scope; /* `extern int n;` in a function does not make n its own */
    Str path = block_path(r, &scope);
    const Scope *around = name_scope(r, scope, 0);
    bool local = around->kind == K_FUNCTION || around->kind == K_INLINED;
    Str owner = local ? around->key : EMPTY;
    uint64_t name_hash = hash_bytes(c.name.p, c.name.n, hash_bytes(around->key.p, around->key.n, local));
    /* gcc may describe a static of an inlined function twice, and every unit of a program describes an inline variable */
    uint64_t identity = mix(mix(loc.value, loc.symbol), mix(name_hash, flags & V_TLS)) | 1;
    if (map_get(seen, identity) != NONE)
        return;
    map_put(r, seen, identity, 0);
    VariableRow row = {.plain = c.name, .linkage = c.linkage, .owner = owner, .path = path, .loc = loc, .unit = note->unit};
    row.show = around->show.n ? join(r, around->show, "::", c.name) : c.name;
    row.type = c.has_type ? spell(r, c.type, 0).text : str_of("void");
    uint64_t contained = c.has_type ? contained_hash(r, c.type, 0) : 0;
    row.type_hash = mix(hash_bytes(row.type.p, row.type.n, 3), contained);
    bool is_const = false;
    row.size = c.has_type ? type_size(r, c.type, &is_const) : 0;
    row.flags = flags | (c.external ? V_EXTERNAL : 0) | (is_const ? V_CONST : 0) | (c.artificial ? V_ARTIFICIAL : 0)
        | (around->flags & T_ANONYMOUS_NAMESPACE ? V_ANONYMOUS_NAMESPACE : 0) | (around->kind == K_TYPE ? V_MEMBER : 0) | (contained & 1 ? V_INCOMPLETE : 0);
    row.file = c.file;
    row.line = c.line;
    if (local) {
        uint32_t before = map_get(ordinals, name_hash);
        row.ordinal = before == NONE ? 0 : before + 1;
        map_put(r, ordinals, name_hash, row.ordinal);
    }
    *PUSH(r, r->variable_rows) = row;
}

/* ---- functions ---- */
static void add_part(Dwarf *r, Loc low, uint64_t size)
{
    if (!size)
        return;
    PartRow *part = PUSH(r, r->part_rows);
    *part = (PartRow){.loc = low, .size = size};
}

static Loc moved(Loc base, uint64_t by)
{
    base.value += by;
    base.addend = (int64_t)((uint64_t)base.addend + by);
    return base;
}

/* DWARF 2 to 4 (2.17.3): pairs of addresses; of offsets from the unit's low_pc when they are not relocated. */
static void read_ranges(Dwarf *r, const Unit *u, uint64_t off)
{
    const Section *s = prepare(r, &r->debug[D_RANGES]);
    Loc base = u->base_address;
    for (; off < s->size && s->size - off >= 16; off += 16) {
        uint64_t low, high;
        memcpy(&low, s->data + off, 8);
        memcpy(&high, s->data + off + 8, 8);
        Loc from = locate(r, s, off, low), to = locate(r, s, off + 8, high);
        if (!low && !high && !from.symbol && !to.symbol)
            return;
        if (low == UINT64_MAX)
            base = to;
        else
            add_part(r, from.symbol ? from : moved(base, low), high - low);
    }
    fail(r, "a range list does not end");
}

static void read_rnglist(Dwarf *r, const Unit *u, const Val *v)
{
    const Section *s = prepare(r, &r->debug[D_RNGLISTS]);
    uint64_t off = v->u;
    if (v->form == FORM_RNGLISTX) {
        uint64_t at = u->rnglists_base + v->u * u->offset_size;
        if (v->u > s->size || u->rnglists_base > s->size || at > s->size || s->size - at < u->offset_size)
            fail(r, "a range list's index lies outside .debug_rnglists");
        off = 0;
        memcpy(&off, s->data + at, u->offset_size);
        off += u->rnglists_base;
    }
    if (off >= s->size)
        fail(r, "a range list lies outside .debug_rnglists");
    const uint8_t *p = s->data + off, *end = s->data + s->size;
    Loc base = u->base_address, from;
    for (;;) {
        uint64_t kind = read_fixed(r, &p, end, 1), a, b;
        switch (kind) { /* table 7.30 */
        case 0: return;
        case 1: base = address_indexed(r, u, read_uleb(r, &p, end)); break;
        case 2: /* startx_endx */
            from = address_indexed(r, u, read_uleb(r, &p, end));
            add_part(r, from, address_indexed(r, u, read_uleb(r, &p, end)).value - from.value);
            break;
        case 3: /* startx_length */
            from = address_indexed(r, u, read_uleb(r, &p, end));
            add_part(r, from, read_uleb(r, &p, end));
            break;
        case 4: /* offset_pair */
            a = read_uleb(r, &p, end);
            b = read_uleb(r, &p, end);
            add_part(r, moved(base, a), b - a);
            break;
        case 5: case 6: case 7: /* base_address, start_end, start_length */
            a = read_fixed(r, &p, end, 8);
            from = locate(r, s, (uint64_t)(p - 8 - s->data), a);
            if (kind == 5)
                base = from;
            else
                add_part(r, from, kind == 6 ? read_fixed(r, &p, end, 8) - a : read_uleb(r, &p, end));
            break;
        default: fail(r, "unknown entry 0x%x in a range list", (unsigned)kind);
        }
    }
}

static void make_function(Dwarf *r, const Note *note)
{
    Die d;
    die_at(r, note->off, &d);
    uint64_t first = r->part_rows.n;
    if (HAS(&d, A_LOW)) {
        Loc low = address_of(r, &d, &d.v[A_LOW]);
        uint64_t size = 0;
        if (HAS(&d, A_HIGH)) { /* DWARF 4: a constant is the size */
            bool address = d.v[A_HIGH].form == FORM_ADDR || d.v[A_HIGH].form == FORM_ADDRX;
            size = address ? address_of(r, &d, &d.v[A_HIGH]).value - low.value : d.v[A_HIGH].u;
        }
        PartRow *part = PUSH(r, r->part_rows);
        *part = (PartRow){.loc = low, .size = size};
    } else if (d.unit->version >= 5) {
        read_rnglist(r, d.unit, &d.v[A_RANGES]);
    } else {
        read_ranges(r, d.unit, d.v[A_RANGES].u);
    }
    if (r->part_rows.n == first)
        return;
    FunctionRow row = {.unit = note->unit, .first_part = (uint32_t)first, .parts = (uint32_t)(r->part_rows.n - first)};
    row.loc = r->part_rows.v[first].loc;
    row.size = r->part_rows.v[first].size;
    if (!r->relocatable && (row.loc.value == 0 || row.loc.value >= UINT64_MAX - 1)) {
        r->part_rows.n = first;
        return;
    }
    Chain c = follow(r, &d);
    Str key;
    row.show = function_name(r, note->off, &row.linkage, &key, 0);
    Spelling result = c.has_type ? spell(r, c.type, 0) : (Spelling){.text = str_of("void"), .split = 4};
    for (unsigned step = 0; HAS(&d, A_ORIGIN) && step < 8; step++) /* an optimised clone may have lost parameters */
        die_at(r, d.v[A_ORIGIN].u, &d);
    Buf *b = buf_push(r);
    buf_str(r, b, result.text);
    buf_text(r, b, " ");
    spell_parameters(r, &d, b, 0);
    row.signature = buf_keep(r, b);
    buf_pop(r);
    row.flags = (c.external ? F_EXTERNAL : 0) | (c.noreturn ? F_NORETURN : 0) | (c.artificial ? F_ARTIFICIAL : 0);
    const Scope *around = name_scope(r, scope_of(r, c.anchor), 0);
    if (around->kind == K_TYPE && (around->flags & T_LAMBDA)) {
        row.flags |= F_LAMBDA;
        if (!c.line) { /* gcc gives the closure a place, not its operator() */
            die_at(r, around->off, &d);
            c = follow(r, &d);
        }
    }
    row.file = c.file;
    row.line = c.line;
    *PUSH(r, r->function_rows) = row;
}

/* ---- exported ---- */
/* After a failure nothing more is answered: tables may be half made. */
#define ENTER(d)                                                                                                       \
    do {                                                                                                               \
        if ((d)->error[0] || setjmp((d)->jump))                                                                        \
            return -1;                                                                                                 \
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
    if (i >= d->packed.n)
        return 0;
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

#define ROWS(vec) (Rows){(vec).v, (vec).n, sizeof *(vec).v}

static void make_variables(Dwarf *d, Map *seen, Map *ordinals)
{
    d->variable_rows.n = 0;
    for (uint64_t i = 0; i < d->variables.n; i++)
        make_variable(d, &d->variables.v[i], seen, ordinals);
}

static void make_functions(Dwarf *d)
{
    d->function_rows.n = d->part_rows.n = 0;
    for (uint64_t i = 0; i < d->functions.n; i++)
        make_function(d, &d->functions.v[i]);
}

static void make_units(Dwarf *d)
{
    d->unit_rows.n = 0;
    for (uint64_t i = 0; i < d->units.n; i++) {
        const Unit *u = &d->units.v[i];
        UnitRow *row = PUSH(d, d->unit_rows);
        *row = (UnitRow){.name = u->name, .comp_dir = u->comp_dir, .producer = u->producer, .language = u->language};
        row->version = u->version;
        row->type_unit = u->type_die != 0;
    }
}

/* A table, made on the first request. The rows stay where they are until close (lines: until the next ones). */
EXPORT int relive_dwarf_table(Dwarf *d, int table, Rows *out)
{
    ENTER(d);
    switch (table) {
    case TYPES:
        if (!d->types_done)
            make_types(d);
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
        if (!d->functions_done)
            make_functions(d);
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
    if (type >= d->types.n)
        fail(d, "no such type");
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
        if (d->bufs.v[i])
            free(d->bufs.v[i]->p);
    for (unsigned i = 0; d->seen && i < 2; i++)
        free_map(&d->seen[i]);
    Map *maps[] = {&d->table_of, &d->signature_of, &d->type_of, &d->type_named, &d->spelling_of, &d->contained_of, &d->spans_of};
    for (unsigned i = 0; i < sizeof maps / sizeof *maps; i++)
        free_map(maps[i]);
    for (uint64_t i = 0; i < d->owned.n; i++)
        free(d->owned.v[i]);
    void *vectors[] = {d->infos.v, d->packed.v, d->units.v, d->tables.v, d->scopes.v, d->types.v, d->variables.v, d->functions.v,
                       d->typedefs.v, d->stack.v, d->spellings.v, d->contained.v, d->virtuals.v, d->bufs.v, d->owned.v, d->type_rows.v,
                       d->variable_rows.v, d->function_rows.v, d->part_rows.v, d->unit_rows.v, d->line_rows.v, d->files.v,
                       d->directories.v, d->spans.v, d->closures.v};
    for (unsigned i = 0; i < sizeof vectors / sizeof *vectors; i++)
        free(vectors[i]);
    free(d);
}
