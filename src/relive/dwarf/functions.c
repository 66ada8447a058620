/* The rows of functions, and the pieces of code that make them up.
 *
 * A function has DW_AT_low_pc and a size, or a range list when its cold part was split off (gcc -O2): the first range
 * is the one that its symbol names. */
#include "reader.h"

#include "codes.h"

static void add_part(Dwarf *r, Loc low, uint64_t size)
{
    if (!size) return;
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
        if (!low && !high && !from.symbol && !to.symbol) return;
        if (low == UINT64_MAX) base = to;
        else add_part(r, from.symbol ? from : moved(base, low), high - low);
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
    if (off >= s->size) fail(r, "a range list lies outside .debug_rnglists");
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
        case 5:
        case 6:
        case 7: /* base_address, start_end, start_length */
            a = read_fixed(r, &p, end, 8);
            from = locate(r, s, (uint64_t)(p - 8 - s->data), a);
            if (kind == 5) base = from;
            else add_part(r, from, kind == 6 ? read_fixed(r, &p, end, 8) - a : read_uleb(r, &p, end));
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
    if (r->part_rows.n == first) return;
    FunctionRow row = {.unit = note->unit, .first_part = (uint32_t)first, .parts = (uint32_t)(r->part_rows.n - first)};
    row.loc = r->part_rows.v[first].loc;
    row.size = r->part_rows.v[first].size;
    if (!r->relocatable && (row.loc.value == 0 || row.loc.value >= UINT64_MAX - 1)) {
        r->part_rows.n = first;
        return;
    }
    Chain c = follow(r, &d, true);
    row.linkage = c.linkage;
    row.show = function_name(r, &c, 0);
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
    const Scope *around = name_scope(r, c.scope, 0);
    if (around->kind == K_TYPE && (around->flags & T_LAMBDA)) {
        row.flags |= F_LAMBDA;
        if (!c.line) { /* gcc gives the closure a place, not its operator() */
            die_at(r, around->off, &d);
            c = follow(r, &d, true);
        }
    }
    row.file = c.file;
    row.line = c.line;
    *PUSH(r, r->function_rows) = row;
}

void make_functions(Dwarf *d)
{
    d->function_rows.n = d->part_rows.n = 0;
    for (uint64_t i = 0; i < d->functions.n; i++) make_function(d, &d->functions.v[i]);
}
