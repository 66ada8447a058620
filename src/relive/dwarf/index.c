/* Unit headers (7.5.1) and the one linear walk over all DIEs, which notes where things are and what encloses them.
 *
 * A scope is a DIE with children that names or encloses something of interest: namespace, class, function with a
 * body, lexical block, inlined body.  They are noted in order of their offset, so the scope of any DIE (the target of
 * a DW_AT_specification, say) is found by one binary search and a climb. */
#include "reader.h"

#include "codes.h"

/* ---- unit headers ---- */
static void read_root(Dwarf *r, Unit *u)
{
    Die d;
    const uint8_t *p = u->section->data + (u->die - u->section->base);
    uint64_t code = read_uleb(r, &p, unit_end(u));
    if (!code) { /* an empty unit: nothing in it */
        u->version = 0;
        return;
    }
    d.off = u->die;
    die_fill(r, u, abbrev_of(r, u->abbrevs, code), p, &d);
    if (HAS(&d, A_DWO_NAME) || u->unit_type == UNIT_SKELETON) {
        strcpy(r->hint, "compile without -gsplit-dwarf");
        fail(r, "the debug information is in a separate .dwo file (split DWARF)");
    }
    uint64_t table_header = u->version < 5 ? 0 : u->offset_size == 8 ? 16 : 8;
    u->str_offsets = HAS(&d, A_STR_OFFSETS) ? d.v[A_STR_OFFSETS].u : table_header;
    u->addr_base = HAS(&d, A_ADDR_BASE) ? d.v[A_ADDR_BASE].u : table_header;
    u->rnglists_base = HAS(&d, A_RNGLISTS_BASE) ? d.v[A_RNGLISTS_BASE].u : 0;
    u->has_stmt_list = HAS(&d, A_STMT_LIST);
    u->stmt_list = u->has_stmt_list ? d.v[A_STMT_LIST].u : 0;
    u->language = HAS(&d, A_LANGUAGE) ? (uint32_t)d.v[A_LANGUAGE].u : 0;
    u->name = die_text(r, &d, A_NAME);
    u->comp_dir = die_text(r, &d, A_COMP_DIR);
    u->producer = die_text(r, &d, A_PRODUCER);
    if (HAS(&d, A_LOW)) u->base_address = address_of(r, &d, &d.v[A_LOW]);
}

static const uint8_t *read_header(Dwarf *r, Section *s, const uint8_t *p, bool types)
{
    const uint8_t *end = s->data + s->size, *header = p;
    Unit *u = PUSH(r, r->units);
    memset(u, 0, sizeof *u);
    u->section = s;
    u->start = s->base + (uint64_t)(p - s->data);
    u->offset_size = 4;
    uint64_t length = read_fixed(r, &p, end, 4);
    if (length == 0xffffffff) {
        u->offset_size = 8;
        length = read_fixed(r, &p, end, 8);
    }
    if (length > (uint64_t)(end - p) || length == 0) fail(r, "truncated: a unit ends behind the end of its section");
    end = p + length;
    u->end = s->base + (uint64_t)(end - s->data);
    u->version = (uint16_t)read_fixed(r, &p, end, 2);
    if (u->version < 2 || u->version > 5) fail(r, "DWARF version %u is not known", u->version);
    uint64_t abbrev_offset, address_size;
    u->unit_type = types ? UNIT_TYPE : UNIT_COMPILE;
    if (u->version >= 5) {
        u->unit_type = (uint8_t)read_fixed(r, &p, end, 1);
        address_size = read_fixed(r, &p, end, 1);
        abbrev_offset = read_fixed(r, &p, end, u->offset_size);
    } else {
        abbrev_offset = read_fixed(r, &p, end, u->offset_size);
        address_size = read_fixed(r, &p, end, 1);
    }
    if (address_size != 8) fail(r, "addresses of %u bytes are not known", (unsigned)address_size);
    if (u->unit_type == UNIT_TYPE || u->unit_type == UNIT_SPLIT_TYPE) {
        u->signature = read_fixed(r, &p, end, 8);
        u->type_die = u->start + read_fixed(r, &p, end, u->offset_size);
    } else if (u->unit_type == UNIT_SKELETON || u->unit_type == UNIT_SPLIT_COMPILE) {
        read_fixed(r, &p, end, 8);
    }
    u->die = u->start + (uint64_t)(p - header);
    if (p == end) {
        u->version = 0;
        return end;
    }
    if (u->unit_type == UNIT_TYPE) {
        if (u->type_die < u->die || u->type_die >= u->end) fail(r, "a reference leaves its unit");
        map_put(r, &r->signature_of, u->signature ? u->signature : 1, (uint32_t)(r->units.n - 1));
    }
    u->abbrevs = abbrevs_at(r, abbrev_offset, u->offset_size, u->version);
    return end;
}

/* ---- the walk ---- */
static uint32_t open_scope(Dwarf *r, enum Kind kind, uint64_t off, uint32_t parent, uint32_t unit)
{
    Scope *s = PUSH(r, r->scopes);
    *s = (Scope){.off = off, .parent = parent, .unit = unit, .type = NONE, .kind = (uint8_t)kind};
    if (kind == K_BLOCK && parent != NONE) s->ordinal = r->scopes.v[parent].blocks++;
    return (uint32_t)(r->scopes.n - 1);
}

/* A location that begins with an address (DW_OP_addr, addrx) or with a thread-local offset (const, then form_tls). */
bool static_location(const Die *d)
{
    const Val *v = &d->v[A_LOCATION];
    if (!HAS(d, A_LOCATION) || v->u == 0) return false;
    switch (v->form) {
    case FORM_EXPRLOC:
    case FORM_BLOCK:
    case FORM_BLOCK1:
    case FORM_BLOCK2:
    case FORM_BLOCK4: break;
    default: return false; /* a location list: a register or a stack slot */
    }
    switch (v->p[0]) {
    case OP_ADDR:
    case OP_ADDRX:
    case OP_GNU_ADDR_INDEX: return true;
    case OP_CONST8U: return v->u >= 10 && (v->p[9] == OP_FORM_TLS_ADDRESS || v->p[9] == OP_GNU_PUSH_TLS);
    case OP_CONST4U: return v->u >= 6 && (v->p[5] == OP_FORM_TLS_ADDRESS || v->p[5] == OP_GNU_PUSH_TLS);
    case OP_CONSTX:
    case OP_GNU_CONST_INDEX: return true; /* only used for thread-locals */
    default: return false;
    }
}

static uint32_t note_type(Dwarf *r, const Abbrev *a, uint64_t off, uint32_t scope, uint32_t unit)
{
    Type *t = PUSH(r, r->types);
    *t = (Type){.off = off, .unit = unit, .scope = scope, .tag = a->tag};
    if (!(a->slots >> A_NAME & 1)) t->flags |= T_UNNAMED;
    return (uint32_t)(r->types.n - 1);
}

static void walk(Dwarf *r, uint32_t unit)
{
    Unit *u = &r->units.v[unit];
    const uint8_t *base = u->section->data, *p = base + (u->die - u->section->base), *end = unit_end(u), *jump;
    uint32_t scope = NONE;
    Die d;
    r->stack.n = 0;
    while (p < end) {
        uint64_t off = u->section->base + (uint64_t)(p - base), code = *p < 0x80 ? *p++ : read_uleb(r, &p, end);
        if (!code) { /* the end of a list of children */
            if (r->stack.n == 0) break;
            if (r->stack.v[--r->stack.n]) {
                r->scopes.v[scope].end = off + 1;
                scope = r->scopes.v[scope].parent;
            }
            if (r->stack.n == 0) break;
            continue;
        }
        const Abbrev *a = abbrev_of(r, u->abbrevs, code);
        const uint8_t *attributes = p;
        uint32_t opened = NONE;
        bool interesting = false; /* may there be something in its children? */
        r->dies++;
        switch (a->kind) {
        case K_SKIP: interesting = a->tag == TAG_COMPILE_UNIT || r->stack.n == 0; break;
        case K_TYPE: {
            uint32_t type = note_type(r, a, off, scope, unit);
            interesting = a->tag != TAG_ENUMERATION;
            if (a->children && interesting) {
                opened = open_scope(r, K_TYPE, off, scope, unit);
                r->scopes.v[opened].type = type;
            }
            break;
        }
        case K_FUNCTION:
            if (a->slots >> A_DECLARATION & 1) break;
            if (a->slots & ((uint64_t)1 << A_LOW | (uint64_t)1 << A_RANGES))
                *PUSH(r, r->functions) = (Note){.off = off, .scope = scope, .unit = unit};
            /* fall through */
        case K_NAMESPACE:
        case K_BLOCK:
        case K_INLINED:
            interesting = true;
            if (a->children) opened = open_scope(r, (enum Kind)a->kind, off, scope, unit);
            break;
        case K_VARIABLE:
            if (!(a->slots >> A_LOCATION & 1)) break;
            die_fill(r, u, a, attributes, &d);
            if (static_location(&d)) *PUSH(r, r->variables) = (Note){.off = off, .scope = scope, .unit = unit};
            break;
        case K_TYPEDEF:
            if (!(a->slots >> A_TYPE & 1)) break;
            die_fill(r, u, a, attributes, &d);
            *PUSH(r, r->typedefs) = (Alias){.off = off, .target = d.v[A_TYPE].u};
            break;
        default: break;
        }
        if (a->children && !interesting && (jump = sibling(r, u, a, attributes)) != NULL) {
            p = jump;
            continue;
        }
        p = skip_attributes(r, u, a, attributes, end);
        if (a->children) {
            *PUSH(r, r->stack) = opened != NONE;
            if (opened != NONE) scope = opened;
        } else if (r->stack.n == 0) {
            break; /* a unit without children */
        }
    }
    for (; scope != NONE; scope = r->scopes.v[scope].parent) /* cut off, or garbage */
        r->scopes.v[scope].end = u->end;
}

uint32_t scope_of(Dwarf *r, uint64_t off)
{
    uint64_t low = 0, high = r->scopes.n;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (r->scopes.v[middle].off < off) low = middle + 1;
        else high = middle;
    }
    uint32_t scope = low ? (uint32_t)(low - 1) : NONE;
    while (scope != NONE && r->scopes.v[scope].end <= off) scope = r->scopes.v[scope].parent;
    return scope;
}

void build_index(Dwarf *r)
{
    uint64_t base = 0;
    for (uint64_t i = 0; i < r->infos.n; i++) {
        Section *s = &r->infos.v[i];
        prepare(r, s);
        s->base = base;
        base += s->size;
    }
    for (uint64_t i = 0; i < r->infos.n; i++) {
        Section *s = &r->infos.v[i];
        bool types = false;
        if (s->size == 0) continue;
        types = s->types;
        for (const uint8_t *p = s->data; p < s->data + s->size;) p = read_header(r, s, p, types);
    }
    if (r->units.n == 0) {
        r->error_kind = 1;
        strcpy(r->hint, "compile with -g");
        fail(r, "no debug information");
    }
    for (uint32_t i = 0; i < r->units.n; i++) /* all headers first: references by signature go anywhere */
        if (r->units.v[i].version) read_root(r, &r->units.v[i]);
    for (uint32_t i = 0; i < r->units.n; i++)
        if (r->units.v[i].version) walk(r, i);
    for (uint32_t i = 0; i < r->types.n; i++) map_put(r, &r->type_of, r->types.v[i].off, i);
    for (uint64_t i = 0; i < r->typedefs.n; i++) { /* typedef struct { } T; the first one names it */
        uint32_t type = map_get(&r->type_of, r->typedefs.v[i].target);
        Die d;
        if (type != NONE && (r->types.v[type].flags & T_UNNAMED)) { /* clang: a stand-in for a type unit */
            die_at(r, r->types.v[type].off, &d);
            type = HAS(&d, A_SIGNATURE) ? map_get(&r->type_of, d.v[A_SIGNATURE].u) : type;
        }
        if (type != NONE && (r->types.v[type].flags & T_UNNAMED) && !r->types.v[type].alias)
            r->types.v[type].alias = r->typedefs.v[i].off;
    }
}
