/* Layout and vtable texts, and their hashes.
 *
 * What a struct holds is its layout text, one line an entry, made to be read by people and taken apart by compare.py:
 *     struct size 24 align 8
 *     0 base game::Thing            virtual base at vtable -24 game::Mixin
 *     8 vptr                        8 health: int
 *     12.3 flags: unsigned int:5    RED = 2
 * Anonymous structs and unions are entered in place.  Access, declaration lines, static members and functions that are
 * not virtual are not in it: they do not matter to an object in memory.  The vtable text has the slots that the class
 * itself declares.  `contained` hashes what a variable of the type holds by value, all the way down. */
#include "reader.h"

#include "codes.h"

#include <stdlib.h>

static bool is_record(uint16_t tag)
{
    return tag == TAG_STRUCTURE || tag == TAG_CLASS || tag == TAG_UNION || tag == TAG_INTERFACE;
}

static bool is_transparent(uint16_t tag) /* says nothing about the layout of what it wraps */
{
    return tag == TAG_TYPEDEF || tag == TAG_CONST || tag == TAG_VOLATILE || tag == TAG_RESTRICT || tag == TAG_ATOMIC ||
           tag == TAG_IMMUTABLE || tag == TAG_TEMPLATE_ALIAS;
}

/* Reads the type at off without typedefs and qualifiers; false: there is none. */
static bool strip(Dwarf *r, uint64_t off, Die *d)
{
    for (unsigned step = 0; off && step < DEPTH; step++) {
        die_at(r, off, d);
        if (!is_transparent(d->abbrev->tag)) {
            if (HAS(d, A_SIGNATURE) && d->v[A_SIGNATURE].u) die_at(r, d->v[A_SIGNATURE].u, d);
            return true;
        }
        off = HAS(d, A_TYPE) ? d->v[A_TYPE].u : 0;
    }
    return false;
}

static bool is_signed(const Val *v) { return v->form == FORM_SDATA || v->form == FORM_IMPLICIT_CONST; }

/* A constant, or an expression that only adds one (DWARF 2 members, gcc's vtable slots); false: something else. */
static bool constant(Dwarf *r, const Val *v, uint64_t *out)
{
    *out = v->u;
    if (!is_block(v)) return true;
    const uint8_t *p = v->p, *end = p + v->u;
    if (p == end || (*p != OP_PLUS_UCONST && *p != OP_CONSTU)) return false;
    p++;
    *out = read_uleb(r, &p, end);
    return p == end;
}

/* ---- layouts ---- */
#define INCOMPLETE ((uint64_t)1)

static uint64_t add_contained(uint64_t all, uint64_t one)
{
    return (mix(all & ~INCOMPLETE, one & ~INCOMPLETE) & ~INCOMPLETE) | ((all | one) & INCOMPLETE);
}

static uint64_t layout_of(Dwarf *r, const Die *d, unsigned depth)
{
    uint32_t type = map_get(&r->type_of, d->off);
    uint64_t result = 0;
    if (type == NONE) return 0;
    if (r->types.v[type].flags & T_UNNAMED) { /* its text is part of the spelling */
        Buf *b = buf_push(r);
        uint64_t virtuals = r->virtuals.n;
        layout_body(r, d, b, "\n", 0, &result, depth);
        r->virtuals.n = virtuals;
        buf_pop(r);
        return result;
    }
    layout_type(r, type, NULL, NULL, depth);
    return r->types.v[type].contained;
}

/* Hash of everything that the type at off holds by value, beyond its spelling; 0 for pointers and base types; bit 0
 * says that a type among it is only declared here (gcc: its key function is in another unit, clang: its constructor).
 * Of an enumeration only its size counts: a new enumerator changes no object. */
uint64_t contained_hash(Dwarf *r, uint64_t off, unsigned depth)
{
    Die d;
    if (depth > DEPTH) fail(r, "the debug information is nested too deep");
    if (!off || !r->named) /* while names are made, of unnamed structs as parameters; nothing is hashed yet */
        return 0;
    uint32_t known = map_get(&r->contained_of, off);
    if (known != NONE) return r->contained.v[known];
    known = (uint32_t)r->contained.n;
    *PUSH(r, r->contained) = 0;
    map_put(r, &r->contained_of, off, known);
    uint64_t result = 0;
    die_at(r, off, &d);
    uint16_t tag = d.abbrev->tag;
    if (is_transparent(tag) || tag == TAG_ARRAY) {
        result = HAS(&d, A_TYPE) ? contained_hash(r, d.v[A_TYPE].u, depth + 1) : 0;
    } else if (tag == TAG_ENUMERATION || is_record(tag)) {
        uint64_t definition = definition_of(r, &d);
        if (definition && definition != off) die_at(r, definition, &d);
        if (tag == TAG_ENUMERATION) result = add_contained(HAS(&d, A_SIZE) ? d.v[A_SIZE].u << 1 : 0, 0);
        else result = definition ? layout_of(r, &d, depth + 1) : INCOMPLETE;
    }
    return r->contained.v[known] = result;
}

static void add_virtual_base(Dwarf *r, Buf *b, const Val *v)
{
    /* gcc and clang: DW_OP_dup, deref, N as lit, const1u or constu, minus, deref, plus: vtable[-N] holds the offset */
    const uint8_t *p = v->p, *end = p + (is_block(v) ? v->u : 0);
    if (end - p >= 6 && p[0] == OP_DUP && p[1] == OP_DEREF) {
        bool literal = p[2] >= OP_LIT0 && p[2] < OP_LIT0 + 32;
        uint64_t n = p[2] - OP_LIT0;
        p += 3;
        if (literal || p[-1] == OP_CONST1U || p[-1] == OP_CONSTU) {
            buf_format(r, b, "virtual base at vtable -%llu ",
                       (unsigned long long)(literal ? n : read_uleb(r, &p, end)));
            return;
        }
        p -= 3;
    }
    buf_text(r, b, "virtual base at ");
    for (unsigned i = 0; p < end && i < 32; p++, i++) buf_format(r, b, "%02x", *p);
    buf_text(r, b, " ");
}

static void base_class(Dwarf *r, const Die *d, Buf *text, uint64_t at, uint64_t *contained, unsigned depth)
{
    uint64_t offset = 0;
    const Val *where = &d->v[A_MEMBER_LOCATION];
    if (HAS(d, A_VIRTUALITY) && d->v[A_VIRTUALITY].u && HAS(d, A_MEMBER_LOCATION)) add_virtual_base(r, text, where);
    else if (HAS(d, A_MEMBER_LOCATION) && !constant(r, where, &offset)) add_virtual_base(r, text, where);
    else buf_format(r, text, "%llu base ", (unsigned long long)(at + offset));
    add_type(r, d, text, depth);
    if (HAS(d, A_TYPE)) *contained = add_contained(*contained, contained_hash(r, d->v[A_TYPE].u, depth));
}

/* False: nothing was entered (a static member, or an unnamed struct whose members were). */
static bool member(Dwarf *r, const Die *d, Buf *text, const char *end, uint64_t at, uint64_t *contained, unsigned depth)
{
    Die type;
    uint64_t offset = 0, bits = HAS(d, A_BIT_SIZE) ? d->v[A_BIT_SIZE].u : 0, bit = 0;
    Str name = die_text(r, d, A_NAME);
    if (HAS(d, A_DECLARATION) || HAS(d, A_EXTERNAL)) return false;
    if (HAS(d, A_MEMBER_LOCATION) && !constant(r, &d->v[A_MEMBER_LOCATION], &offset)) offset = 0;
    offset += at;
    if (bits && HAS(d, A_DATA_BIT_OFFSET)) {
        offset = at + d->v[A_DATA_BIT_OFFSET].u / 8;
        bit = d->v[A_DATA_BIT_OFFSET].u % 8;
    } else if (bits && HAS(d, A_BIT_OFFSET)) { /* DWARF 2 to 4: counted from the storage unit's most significant bit */
        uint64_t size = HAS(d, A_SIZE) ? d->v[A_SIZE].u : 0;
        if (!size && HAS(d, A_TYPE) && strip(r, d->v[A_TYPE].u, &type) && HAS(&type, A_SIZE)) size = type.v[A_SIZE].u;
        uint64_t from = offset * 8 + size * 8 - d->v[A_BIT_OFFSET].u - bits;
        offset = from / 8;
        bit = from % 8;
    }
    if (!name.n && !bits && HAS(d, A_TYPE) && strip(r, d->v[A_TYPE].u, &type) && is_record(type.abbrev->tag)) {
        uint32_t index = map_get(&r->type_of, type.off);
        if (index != NONE && (r->types.v[index].flags & T_UNNAMED)) {
            layout_body(r, &type, text, end, offset, contained, depth);
            return false;
        }
    }
    if (bits) buf_format(r, text, "%llu.%llu ", (unsigned long long)offset, (unsigned long long)bit);
    else buf_format(r, text, "%llu ", (unsigned long long)offset);
    if (name.n > 6 && !memcmp(name.p, "_vptr", 5) && strchr(".$", name.p[5])) {
        buf_text(r, text, "vptr");
        return true;
    }
    buf_str(r, text, name);
    buf_text(r, text, ": ");
    add_type(r, d, text, depth);
    if (bits) buf_format(r, text, ":%llu", (unsigned long long)bits);
    if (HAS(d, A_ALIGNMENT)) buf_format(r, text, " align %llu", (unsigned long long)d->v[A_ALIGNMENT].u);
    if (HAS(d, A_TYPE)) *contained = add_contained(*contained, contained_hash(r, d->v[A_TYPE].u, depth));
    return true;
}

/* The entries of a struct, union or enumeration that lies `at` bytes into what is described. Virtual functions go to
 * r->virtuals. */
void layout_body(Dwarf *r, const Die *d, Buf *text, const char *end, uint64_t at, uint64_t *contained, unsigned depth)
{
    Die kid;
    if (depth > DEPTH) fail(r, "the debug information is nested too deep");
    Kids kids = kids_of(d);
    for (const Abbrev *a; (a = kids_next(r, &kids)) != NULL;) {
        switch (a->tag) {
        case TAG_INHERITANCE:
            kids_read(r, &kids, &kid);
            base_class(r, &kid, text, at, contained, depth + 1);
            buf_text(r, text, end);
            break;
        case TAG_MEMBER:
            kids_read(r, &kids, &kid);
            if (member(r, &kid, text, end, at, contained, depth + 1)) buf_text(r, text, end);
            break;
        case TAG_ENUMERATOR:
            kids_read(r, &kids, &kid);
            buf_str(r, text, die_text(r, &kid, A_NAME));
            if (HAS(&kid, A_CONST))
                buf_format(r, text, is_signed(&kid.v[A_CONST]) ? " = %lld" : " = %llu",
                           (unsigned long long)kid.v[A_CONST].u);
            buf_text(r, text, end);
            break;
        case TAG_SUBPROGRAM: /* implicit ones come and go with their use in a unit (gcc), without a slot of their own */
            if (!(a->slots >> A_VIRTUALITY & 1) || (a->slots >> A_ARTIFICIAL & 1)) break;
            kids_read(r, &kids, &kid);
            if (kid.v[A_VIRTUALITY].u) {
                Virtual *v = PUSH(r, r->virtuals);
                *v = (Virtual){.slot = UINT64_MAX, .name = die_text(r, &kid, A_LINKAGE)};
                if (!v->name.n) v->name = die_text(r, &kid, A_NAME);
                if (HAS(&kid, A_VTABLE_SLOT) && !constant(r, &kid.v[A_VTABLE_SLOT], &v->slot)) v->slot = UINT64_MAX;
            }
            break;
        default: break;
        }
    }
}

static int by_slot(const void *a, const void *b)
{
    const Virtual *x = a, *y = b;
    if (x->slot != y->slot) return x->slot < y->slot ? -1 : 1;
    uint64_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int order = memcmp(x->name.p, y->name.p, n);
    return order ? order : x->name.n < y->name.n ? -1 : x->name.n > y->name.n;
}

/* Fills the hashes of a named type, and the texts where buffers are given. */
void layout_type(Dwarf *r, uint32_t index, Buf *layout, Buf *vtable, unsigned depth)
{
    Type *t = &r->types.v[index];
    Die d;
    if (t->state && !layout) return;
    t->state = 1;
    die_at(r, t->off, &d);
    uint64_t contained = 0, first = r->virtuals.n;
    Buf *text = layout ? layout : buf_push(r), *slots = vtable ? vtable : buf_push(r);
    buf_text(r, text, t->tag == TAG_UNION ? "union" : t->tag == TAG_ENUMERATION ? "enum" : "struct");
    buf_format(r, text, " size %llu", (unsigned long long)(HAS(&d, A_SIZE) ? d.v[A_SIZE].u : 0));
    if (HAS(&d, A_ALIGNMENT)) buf_format(r, text, " align %llu", (unsigned long long)d.v[A_ALIGNMENT].u);
    if (t->tag == TAG_ENUMERATION) {
        buf_text(r, text, " ");
        if (HAS(&d, A_TYPE)) buf_str(r, text, spell(r, d.v[A_TYPE].u, depth + 1).text);
        else buf_format(r, text, "encoding %llu", (unsigned long long)(HAS(&d, A_ENCODING) ? d.v[A_ENCODING].u : 0));
    }
    buf_text(r, text, "\n");
    layout_body(r, &d, text, "\n", 0, &contained, depth + 1);
    if (r->virtuals.n > first) {
        qsort(r->virtuals.v + first, r->virtuals.n - first, sizeof(Virtual), by_slot);
        for (uint64_t i = first; i < r->virtuals.n; i++) {
            if (r->virtuals.v[i].slot == UINT64_MAX) buf_text(r, slots, "? ");
            else buf_format(r, slots, "%llu ", (unsigned long long)r->virtuals.v[i].slot);
            buf_str(r, slots, r->virtuals.v[i].name);
            buf_text(r, slots, "\n");
        }
        r->virtuals.n = first;
    }
    t->layout = hash_bytes(text->p, text->n, 1);
    t->vtable = slots->n ? hash_bytes(slots->p, slots->n, 2) : 0;
    t->contained = add_contained(contained, t->layout & ~INCOMPLETE);
    t->state = 2;
    if (!vtable) buf_pop(r);
    if (!layout) buf_pop(r);
}
