/* The rows of types, variables and units that Python reads. */
#include "reader.h"

#include "codes.h"

static const Str EMPTY = {"", 0};

/* ---- types ---- */
void make_types(Dwarf *r)
{
    r->type_rows.n = 0;
    for (uint32_t i = 0; i < r->types.n; i++) {
        Type *t = &r->types.v[i];
        if (t->flags & T_UNNAMED) continue;
        if ((t->flags & T_DECLARATION) && map_get(&r->type_named, hash_bytes(t->spell.p, t->spell.n, 0)) != NONE)
            continue;
        if (!(t->flags & T_DECLARATION)) layout_type(r, i, NULL, NULL, 0);
        Die d;
        die_at(r, t->off, &d);
        TypeRow *row = PUSH(r, r->type_rows);
        *row = (TypeRow){.name = t->key,
                         .show = t->show,
                         .spell = t->spell,
                         .layout = t->layout,
                         .vtable = t->vtable,
                         .contained = t->contained};
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
    case OP_ADDR:
    case OP_CONST8U: loc = at_operand(r, d, &p, end, 8); break;
    case OP_CONST4U: loc = at_operand(r, d, &p, end, 4); break;
    default: loc = address_indexed(r, d->unit, read_uleb(r, &p, end)); break;
    }
    for (; p < end;) {
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
        } else if (op == OP_DEREF_SIZE) { /* clang: reduced to a flag, from which the rest computes the value */
            *flags |= V_PIECES | V_COMPUTED;
            loc.addend = (int64_t)hash_bytes((const char *)p, (uint64_t)(end - p), 0);
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
        if (d.abbrev->tag == TAG_CONST) *is_const = true;
        uint64_t definition = HAS(&d, A_DECLARATION) || HAS(&d, A_SIGNATURE) ? definition_of(r, &d) : 0;
        if (definition && definition != off) die_at(r, definition, &d);
        if (HAS(&d, A_SIZE)) return d.v[A_SIZE].u * count;
        if (d.abbrev->tag == TAG_UNSPECIFIED_TYPE) /* decltype(nullptr), the only one in C++ */
            return 8 * count;
        if (d.abbrev->tag == TAG_PTR_TO_MEMBER) {
            if (HAS(&d, A_TYPE) && d.v[A_TYPE].u) die_at(r, d.v[A_TYPE].u, &d);
            return (d.abbrev->tag == TAG_SUBROUTINE ? 16 : 8) * count;
        }
        Kids kids = kids_of(&d);
        for (const Abbrev *a; d.abbrev->tag == TAG_ARRAY && (a = kids_next(r, &kids)) != NULL;) {
            if (a->tag != TAG_SUBRANGE) continue;
            kids_read(r, &kids, &bound);
            count *= HAS(&bound, A_COUNT) ? bound.v[A_COUNT].u : HAS(&bound, A_UPPER) ? bound.v[A_UPPER].u + 1 : 0;
        }
        if (!HAS(&d, A_TYPE)) return d.abbrev->tag == TAG_POINTER || d.abbrev->tag == TAG_REFERENCE ? 8 * count : 0;
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
    if (at == NONE || (r->scopes.v[at].kind != K_FUNCTION && r->scopes.v[at].kind != K_INLINED)) return EMPTY;
    *scope = at;
    if (!n) return EMPTY;
    Buf *b = buf_push(r);
    while (n--) buf_format(r, b, n ? "%u." : "%u", ordinals[n]);
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
    if (!location(r, &d, &loc, &flags)) return;
    if (!r->relocatable && !(flags & V_TLS) && (loc.value == 0 || loc.value >= UINT64_MAX - 1))
        return; /* the linker dropped its section and wrote a tombstone */
    Chain c = follow(r, &d, true);
    uint32_t scope = c.scope;
    if (!c.by_origin && c.anchor != d.off && (name_scope(r, scope, 0)->flags & T_LOCAL))
        scope = note->scope; /* `extern int n;` in a function does not make n its own */
    Str path = block_path(r, &scope);
    const Scope *around = name_scope(r, scope, 0);
    bool local = around->kind == K_FUNCTION || around->kind == K_INLINED;
    Str owner = local ? around->key : EMPTY;
    uint64_t name_hash = hash_bytes(c.name.p, c.name.n, hash_bytes(around->key.p, around->key.n, local));
    /* gcc may describe a static of an inlined function twice, and every unit of a program describes an inline variable
     */
    uint64_t identity = mix(mix(loc.value, loc.symbol), mix(name_hash, flags & V_TLS)) | 1;
    if (map_get(seen, identity) != NONE) return;
    map_put(r, seen, identity, 0);
    VariableRow row = {
        .plain = c.name, .linkage = c.linkage, .owner = owner, .path = path, .loc = loc, .unit = note->unit};
    row.show = around->show.n ? join(r, around->show, "::", c.name) : c.name;
    row.type = c.has_type ? spell(r, c.type, 0).text : str_of("void");
    uint64_t contained = c.has_type ? contained_hash(r, c.type, 0) : 0;
    row.type_hash = mix(hash_bytes(row.type.p, row.type.n, 3), contained);
    bool is_const = false;
    row.size = c.has_type ? type_size(r, c.type, &is_const) : 0;
    row.flags = flags | (c.external ? V_EXTERNAL : 0) | (is_const ? V_CONST : 0) | (c.artificial ? V_ARTIFICIAL : 0) |
                (around->flags & T_ANONYMOUS_NAMESPACE ? V_ANONYMOUS_NAMESPACE : 0) |
                (around->kind == K_TYPE ? V_MEMBER : 0) | (contained & 1 ? V_INCOMPLETE : 0);
    row.file = c.file;
    row.line = c.line;
    if (local) {
        uint32_t before = map_get(ordinals, name_hash);
        row.ordinal = before == NONE ? 0 : before + 1;
        map_put(r, ordinals, name_hash, row.ordinal);
    }
    *PUSH(r, r->variable_rows) = row;
}

void make_variables(Dwarf *d, Map *seen, Map *ordinals)
{
    d->variable_rows.n = 0;
    for (uint64_t i = 0; i < d->variables.n; i++) make_variable(d, &d->variables.v[i], seen, ordinals);
}

/* ---- units ---- */
void make_units(Dwarf *d)
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
