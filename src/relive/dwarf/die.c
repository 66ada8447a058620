/* Attribute values, references, addresses, children.
 *
 * References are global offsets: the section's base plus the offset in it, so that type units in COMDAT sections of
 * their own are like any other unit.  DW_AT_sibling (gcc) jumps over whole subtrees that hold nothing of interest, such
 * as the parameters of a declared method; clang has none, then they are walked over. */
#include "reader.h"

#include "codes.h"

/* ---- attribute values (7.5.5) ---- */
static uint64_t in_unit(Dwarf *r, const Unit *u, uint64_t off)
{
    uint64_t global = u->start + off;
    if (global < u->die || global >= u->end) fail(r, "a reference leaves its unit");
    return global;
}

static uint64_t indexed_string(Dwarf *r, const Unit *u, uint64_t index)
{
    const Section *s = prepare(r, &r->debug[D_STR_OFFSETS]);
    if (index > s->size || u->str_offsets > s->size) fail(r, "a name's index lies outside .debug_str_offsets");
    uint64_t at = u->str_offsets + index * u->offset_size, off = 0;
    if (at > s->size || s->size - at < u->offset_size) fail(r, "a name's index lies outside .debug_str_offsets");
    memcpy(&off, s->data + at, u->offset_size);
    return off;
}

void read_value(Dwarf *r, Unit *u, uint32_t form, int64_t implicit, const uint8_t **p, const uint8_t *end, Val *out)
{
    if (form == FORM_INDIRECT) {
        form = (uint32_t)read_uleb(r, p, end);
        if (form == FORM_INDIRECT || form == FORM_IMPLICIT_CONST) fail(r, "an indirect form names an indirect form");
    }
    out->form = form;
    out->p = *p;
    switch (form) {
    case FORM_FLAG_PRESENT: out->u = 1; return;
    case FORM_IMPLICIT_CONST: out->u = (uint64_t)implicit; return;
    case FORM_DATA1:
    case FORM_FLAG:
    case FORM_STRX1:
    case FORM_ADDRX1: out->u = read_fixed(r, p, end, 1); return;
    case FORM_DATA2:
    case FORM_STRX2:
    case FORM_ADDRX2: out->u = read_fixed(r, p, end, 2); return;
    case FORM_STRX3:
    case FORM_ADDRX3: out->u = read_fixed(r, p, end, 3); return;
    case FORM_DATA4:
    case FORM_STRX4:
    case FORM_ADDRX4: out->u = read_fixed(r, p, end, 4); return;
    case FORM_ADDR:
    case FORM_DATA8: out->u = read_fixed(r, p, end, 8); return;
    case FORM_DATA16:
        out->u = 0;
        *p = advance(r, *p, end, 16);
        return;
    case FORM_SDATA: out->u = (uint64_t)read_sleb(r, p, end); return;
    case FORM_UDATA:
    case FORM_STRX:
    case FORM_ADDRX:
    case FORM_LOCLISTX:
    case FORM_RNGLISTX:
    case FORM_GNU_ADDR_INDEX:
    case FORM_GNU_STR_INDEX: out->u = read_uleb(r, p, end); return;
    case FORM_STRP:
    case FORM_LINE_STRP:
    case FORM_SEC_OFFSET: out->u = read_fixed(r, p, end, u->offset_size); return;
    case FORM_REF1: out->u = in_unit(r, u, read_fixed(r, p, end, 1)); return;
    case FORM_REF2: out->u = in_unit(r, u, read_fixed(r, p, end, 2)); return;
    case FORM_REF4: out->u = in_unit(r, u, read_fixed(r, p, end, 4)); return;
    case FORM_REF8: out->u = in_unit(r, u, read_fixed(r, p, end, 8)); return;
    case FORM_REF_UDATA: out->u = in_unit(r, u, read_uleb(r, p, end)); return;
    case FORM_REF_ADDR: out->u = u->section->base + read_fixed(r, p, end, u->version < 3 ? 8 : u->offset_size); return;
    case FORM_REF_SIG8: { /* a type unit; 0 when it is elsewhere */
        uint64_t signature = read_fixed(r, p, end, 8);
        uint32_t unit = map_get(&r->signature_of, signature ? signature : 1);
        out->u = unit == NONE ? 0 : r->units.v[unit].type_die;
        return;
    }
    case FORM_REF_SUP4:
    case FORM_REF_SUP8:
    case FORM_GNU_REF_ALT:
    case FORM_GNU_STRP_ALT:
    case FORM_STRP_SUP: /* dwz -m: another file */
        out->u = 0;
        *p = advance(r, *p, end, skip_of_form(r, form, u->offset_size, u->version).n);
        return;
    case FORM_STRING:
        *p = skip_step(r, u, (Skip){S_STRING, 0}, *p, end);
        out->u = 0;
        return;
    case FORM_BLOCK1: out->u = read_fixed(r, p, end, 1); break;
    case FORM_BLOCK2: out->u = read_fixed(r, p, end, 2); break;
    case FORM_BLOCK4: out->u = read_fixed(r, p, end, 4); break;
    case FORM_BLOCK:
    case FORM_EXPRLOC: out->u = read_uleb(r, p, end); break;
    default: fail(r, "unknown DWARF form 0x%x", form);
    }
    out->p = *p; /* blocks */
    *p = advance(r, *p, end, out->u);
}

const uint8_t *unit_end(const Unit *u) { return u->section->data + (u->end - u->section->base); }

void die_fill(Dwarf *r, Unit *u, const Abbrev *a, const uint8_t *p, Die *d)
{
    const uint8_t *end = unit_end(u);
    const Spec *s = u->abbrevs->specs + a->spec;
    d->unit = u;
    d->abbrev = a;
    d->has = 0;
    for (uint32_t i = 0; i < a->specs; i++) {
        Val *v = &d->v[s[i].slot]; /* A_NONE is the bin */
        read_value(r, u, s[i].form, s[i].implicit, &p, end, v);
        if (s[i].slot && !(s[i].form == FORM_FLAG && !v->u)) d->has |= (uint64_t)1 << s[i].slot;
    }
    d->next = p;
}

static Unit *unit_of(Dwarf *r, uint64_t off)
{
    if (r->last && off >= r->last->die && off < r->last->end) return r->last;
    uint64_t low = 0, high = r->units.n;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (r->units.v[middle].end <= off) low = middle + 1;
        else high = middle;
    }
    if (low == r->units.n || off < r->units.v[low].die || !r->units.v[low].abbrevs)
        fail(r, "a reference points to no unit");
    return r->last = &r->units.v[low];
}

void die_at(Dwarf *r, uint64_t off, Die *d)
{
    Unit *u = unit_of(r, off);
    const uint8_t *p = u->section->data + (off - u->section->base);
    uint64_t code = read_uleb(r, &p, unit_end(u));
    d->off = off;
    die_fill(r, u, abbrev_of(r, u->abbrevs, code), p, d);
}

Str value_text(Dwarf *r, const Unit *u, const Val *v)
{
    const char *text;
    switch (v->form) {
    case FORM_STRING: text = (const char *)v->p; break;
    case FORM_STRP: text = string_at(r, D_STR, v->u); break;
    case FORM_LINE_STRP: text = string_at(r, D_LINE_STR, v->u); break;
    case FORM_STRX:
    case FORM_STRX1:
    case FORM_STRX2:
    case FORM_STRX3:
    case FORM_STRX4:
    case FORM_GNU_STR_INDEX: text = string_at(r, D_STR, indexed_string(r, u, v->u)); break;
    default: return (Str){"", 0};
    }
    return (Str){text, strlen(text)};
}

Str die_text(Dwarf *r, const Die *d, enum Slot slot)
{
    return HAS(d, slot) ? value_text(r, d->unit, &d->v[slot]) : (Str){"", 0};
}

/* ---- addresses ---- */
Loc address_indexed(Dwarf *r, const Unit *u, uint64_t index)
{
    const Section *s = prepare(r, &r->debug[D_ADDR]);
    uint64_t value = 0;
    if (index > s->size || u->addr_base > s->size || u->addr_base + index * 8 > s->size ||
        s->size - (u->addr_base + index * 8) < 8)
        fail(r, "an address index lies outside .debug_addr");
    uint64_t at = u->addr_base + index * 8;
    memcpy(&value, s->data + at, 8);
    return locate(r, s, at, value);
}

Loc address_of(Dwarf *r, const Die *d, const Val *v)
{
    switch (v->form) {
    case FORM_ADDRX:
    case FORM_ADDRX1:
    case FORM_ADDRX2:
    case FORM_ADDRX3:
    case FORM_ADDRX4:
    case FORM_GNU_ADDR_INDEX: return address_indexed(r, d->unit, v->u);
    default: return locate(r, d->unit->section, (uint64_t)(v->p - d->unit->section->data), v->u);
    }
}

/* ---- children ---- */
const uint8_t *sibling(Dwarf *r, const Unit *u, const Abbrev *a, const uint8_t *attributes)
{
    const uint8_t *end = unit_end(u), *p;
    uint64_t off;
    if (!a->sibling) return NULL;
    p = advance(r, attributes, end, a->sibling - 1);
    off = in_unit(r, u, read_fixed(r, &p, end, 4));
    p = u->section->data + (off - u->section->base);
    return p > attributes ? p : NULL;
}

static const uint8_t *skip_children(Dwarf *r, const Unit *u, const uint8_t *p)
{
    const uint8_t *end = unit_end(u);
    for (unsigned depth = 1; depth;) {
        uint64_t code = read_uleb(r, &p, end);
        if (!code) {
            depth--;
            continue;
        }
        const Abbrev *a = abbrev_of(r, u->abbrevs, code);
        const uint8_t *jump = a->children ? sibling(r, u, a, p) : NULL;
        if (jump) {
            p = jump;
            continue;
        }
        p = skip_attributes(r, u, a, p, end);
        depth += a->children;
    }
    return p;
}

Kids kids_of(const Die *d)
{
    Kids k = {.unit = d->unit, .p = d->next, .end = unit_end(d->unit)};
    if (!d->abbrev->children) k.p = k.end;
    return k;
}

const Abbrev *kids_next(Dwarf *r, Kids *k)
{
    if (k->pending) {
        const Abbrev *a = k->pending;
        const uint8_t *jump = a->children ? sibling(r, k->unit, a, k->attributes) : NULL;
        if (jump) {
            k->p = jump;
        } else {
            k->p = skip_attributes(r, k->unit, a, k->attributes, k->end);
            if (a->children) k->p = skip_children(r, k->unit, k->p);
        }
        k->pending = NULL;
    }
    if (k->p >= k->end) return NULL;
    k->off = k->unit->section->base + (uint64_t)(k->p - k->unit->section->data);
    uint64_t code = read_uleb(r, &k->p, k->end);
    if (!code) {
        k->p = k->end;
        return NULL;
    }
    k->attributes = k->p;
    return k->pending = abbrev_of(r, k->unit->abbrevs, code);
}

void kids_read(Dwarf *r, Kids *k, Die *out)
{
    out->off = k->off;
    die_fill(r, k->unit, k->pending, k->attributes, out);
}
