/* Numbers, and abbreviations: what a DIE of each kind has, and how to jump over it.
 *
 * An abbreviation knows how its attributes are jumped over (runs of fixed size are one addition), which of them we look
 * at, what the walk of index.c does with such a DIE, and where its DW_AT_sibling is when that is in a fixed place. */
#include "reader.h"

#include "codes.h"

/* ---- reading numbers (7.6) ---- */
uint64_t read_long_uleb(Dwarf *r, const uint8_t **p, const uint8_t *end)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *p < end; shift += 7) {
        uint8_t byte = *(*p)++;
        if (shift < 64) value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
    fail(r, "truncated debug information");
}

int64_t read_sleb(Dwarf *r, const uint8_t **p, const uint8_t *end)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *p < end;) {
        uint8_t byte = *(*p)++;
        if (shift < 64) value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (!(byte & 0x80)) {
            if (shift < 64 && (byte & 0x40)) value |= ~(uint64_t)0 << shift;
            return (int64_t)value;
        }
    }
    fail(r, "truncated debug information");
}

void truncated(Dwarf *r) { fail(r, "truncated debug information"); }

const uint8_t *advance(Dwarf *r, const uint8_t *p, const uint8_t *end, uint64_t n)
{
    if ((uint64_t)(end - p) < n) fail(r, "truncated debug information");
    return p + n;
}

/* ---- abbreviations (7.5.3) ---- */
static enum Slot slot_of_attribute(uint64_t attribute)
{
    switch (attribute) {
    case 0x01: return A_SIBLING;
    case 0x02: return A_LOCATION;
    case 0x03: return A_NAME;
    case 0x0b: return A_SIZE;
    case 0x0c: return A_BIT_OFFSET;
    case 0x0d: return A_BIT_SIZE;
    case 0x10: return A_STMT_LIST;
    case 0x11: return A_LOW;
    case 0x12: return A_HIGH;
    case 0x13: return A_LANGUAGE;
    case 0x1b: return A_COMP_DIR;
    case 0x1c: return A_CONST;
    case 0x1d: return A_CONTAINING;
    case 0x25: return A_PRODUCER;
    case 0x2f: return A_UPPER;
    case 0x31: return A_ORIGIN;
    case 0x34: return A_ARTIFICIAL;
    case 0x37: return A_COUNT;
    case 0x38: return A_MEMBER_LOCATION;
    case 0x39: return A_COLUMN;
    case 0x3a: return A_FILE;
    case 0x3b: return A_LINE;
    case 0x3c: return A_DECLARATION;
    case 0x3e: return A_ENCODING;
    case 0x3f: return A_EXTERNAL;
    case 0x47: return A_SPEC;
    case 0x49: return A_TYPE;
    case 0x4c: return A_VIRTUALITY;
    case 0x4d: return A_VTABLE_SLOT;
    case 0x55: return A_RANGES;
    case 0x69: return A_SIGNATURE;
    case 0x6b: return A_DATA_BIT_OFFSET;
    case 0x6e:
    case 0x2007: return A_LINKAGE; /* DW_AT_MIPS_linkage_name */
    case 0x72: return A_STR_OFFSETS;
    case 0x73:
    case 0x2133: return A_ADDR_BASE;
    case 0x74: return A_RNGLISTS_BASE;
    case 0x76:
    case 0x2130: return A_DWO_NAME;
    case 0x87: return A_NORETURN;
    case 0x88: return A_ALIGNMENT;
    case 0x2107: return A_VECTOR;
    default: return A_NONE;
    }
}

static enum Kind kind_of_tag(uint64_t tag)
{
    switch (tag) {
    case TAG_CLASS:
    case TAG_STRUCTURE:
    case TAG_UNION:
    case TAG_ENUMERATION:
    case TAG_INTERFACE: return K_TYPE;
    case TAG_NAMESPACE:
    case TAG_MODULE: return K_NAMESPACE;
    case TAG_SUBPROGRAM: return K_FUNCTION;
    case TAG_LEXICAL_BLOCK:
    case TAG_TRY_BLOCK:
    case TAG_CATCH_BLOCK: return K_BLOCK;
    case TAG_INLINED_SUBROUTINE: return K_INLINED;
    case TAG_VARIABLE: return K_VARIABLE;
    case TAG_TYPEDEF: return K_TYPEDEF;
    default: return K_SKIP;
    }
}

/* How a value of this form is jumped over (7.5.6). */
Skip skip_of_form(Dwarf *r, uint64_t form, unsigned offset_size, unsigned version)
{
    switch (form) {
    case FORM_FLAG_PRESENT:
    case FORM_IMPLICIT_CONST: return (Skip){S_FIXED, 0};
    case FORM_DATA1:
    case FORM_REF1:
    case FORM_FLAG:
    case FORM_STRX1:
    case FORM_ADDRX1: return (Skip){S_FIXED, 1};
    case FORM_DATA2:
    case FORM_REF2:
    case FORM_STRX2:
    case FORM_ADDRX2: return (Skip){S_FIXED, 2};
    case FORM_STRX3:
    case FORM_ADDRX3: return (Skip){S_FIXED, 3};
    case FORM_DATA4:
    case FORM_REF4:
    case FORM_REF_SUP4:
    case FORM_STRX4:
    case FORM_ADDRX4: return (Skip){S_FIXED, 4};
    case FORM_ADDR:
    case FORM_DATA8:
    case FORM_REF8:
    case FORM_REF_SIG8:
    case FORM_REF_SUP8: return (Skip){S_FIXED, 8};
    case FORM_DATA16: return (Skip){S_FIXED, 16};
    case FORM_REF_ADDR: return (Skip){S_FIXED, version < 3 ? 8 : offset_size};
    case FORM_STRP:
    case FORM_LINE_STRP:
    case FORM_SEC_OFFSET:
    case FORM_STRP_SUP:
    case FORM_GNU_REF_ALT:
    case FORM_GNU_STRP_ALT: return (Skip){S_FIXED, offset_size};
    case FORM_SDATA:
    case FORM_UDATA:
    case FORM_REF_UDATA:
    case FORM_STRX:
    case FORM_ADDRX:
    case FORM_LOCLISTX:
    case FORM_RNGLISTX:
    case FORM_GNU_ADDR_INDEX:
    case FORM_GNU_STR_INDEX: return (Skip){S_ULEB, 0};
    case FORM_STRING: return (Skip){S_STRING, 0};
    case FORM_BLOCK1: return (Skip){S_BLOCK1, 0};
    case FORM_BLOCK2: return (Skip){S_BLOCK2, 0};
    case FORM_BLOCK4: return (Skip){S_BLOCK4, 0};
    case FORM_BLOCK:
    case FORM_EXPRLOC: return (Skip){S_BLOCK, 0};
    case FORM_INDIRECT: return (Skip){S_INDIRECT, 0};
    default: fail(r, "unknown DWARF form 0x%x", (unsigned)form);
    }
}

static void read_abbrev(Dwarf *r, AbbrevTable *t, Abbrev *a, const uint8_t **p, const uint8_t *end,
                        unsigned offset_size, unsigned version, uint64_t *specs, uint64_t *specs_cap, uint64_t *skips,
                        uint64_t *skips_cap)
{
    uint64_t fixed = 0, tag = read_uleb(r, p, end);
    bool only_fixed = true;
    a->tag = tag > 0xffff ? 0xffff : (uint16_t)tag;
    a->children = read_fixed(r, p, end, 1) != 0;
    a->kind = (uint8_t)kind_of_tag(tag);
    a->spec = (uint32_t)*specs;
    a->skip = (uint32_t)*skips;
    for (;;) {
        uint64_t attribute = read_uleb(r, p, end), form = read_uleb(r, p, end);
        int64_t implicit = form == FORM_IMPLICIT_CONST ? read_sleb(r, p, end) : 0;
        if (!attribute && !form) return;
        enum Slot slot = slot_of_attribute(attribute);
        Skip step = skip_of_form(r, form, offset_size, version);
        if (*specs == *specs_cap) t->specs = grow(r, t->specs, specs_cap, *specs + 1, sizeof *t->specs);
        t->specs[(*specs)++] = (Spec){.form = (uint16_t)form, .slot = (uint8_t)slot, .implicit = implicit};
        a->specs++;
        a->slots |= slot ? (uint64_t)1 << slot : 0;
        if (slot == A_SIBLING && form == FORM_REF4 && only_fixed && fixed < 4096) a->sibling = 1 + (uint32_t)fixed;
        only_fixed &= step.op == S_FIXED;
        fixed += step.n;
        if (step.op == S_FIXED && a->skips && t->skips[*skips - 1].op == S_FIXED) {
            t->skips[*skips - 1].n += step.n;
            continue;
        }
        if (*skips == *skips_cap) t->skips = grow(r, t->skips, skips_cap, *skips + 1, sizeof *t->skips);
        t->skips[(*skips)++] = step;
        a->skips++;
    }
}

/* The table at an offset of .debug_abbrev; forms that depend on the unit's header make it a table of its own. */
const AbbrevTable *abbrevs_at(Dwarf *r, uint64_t off, unsigned offset_size, unsigned version)
{
    uint64_t key = (off << 2 | (uint64_t)(offset_size == 8) << 1 | (version < 3)) + 1;
    uint32_t known = map_get(&r->table_of, key);
    if (known != NONE) return r->tables.v[known];
    const Section *s = prepare(r, &r->debug[D_ABBREV]);
    if (off >= s->size) fail(r, "a unit names abbreviations outside .debug_abbrev");
    const uint8_t *p = s->data + off, *end = s->data + s->size;
    AbbrevTable **slot = PUSH(r, r->tables), *t = *slot = NULL;
    t = *slot = own(r, sizeof *t);
    uint64_t cap = 0, specs = 0, specs_cap = 0, skips = 0, skips_cap = 0;
    for (uint64_t code; p < end && (code = read_uleb(r, &p, end)) != 0;) {
        if (code > 1u << 20) /* producers count from 1 */
            fail(r, "abbreviation code %llu is out of range", (unsigned long long)code);
        if (code >= cap) {
            uint64_t old = cap;
            t->v = grow(r, t->v, &cap, code + 1, sizeof *t->v);
            memset(t->v + old, 0, (cap - old) * sizeof *t->v);
        }
        t->count = cap;
        memset(&t->v[code], 0, sizeof *t->v);
        read_abbrev(r, t, &t->v[code], &p, end, offset_size, version, &specs, &specs_cap, &skips, &skips_cap);
    }
    map_put(r, &r->table_of, key, (uint32_t)(r->tables.n - 1));
    return t;
}

const Abbrev *abbrev_of(Dwarf *r, const AbbrevTable *t, uint64_t code)
{
    if (code >= t->count || !t->v[code].tag) fail(r, "unknown abbreviation code %llu", (unsigned long long)code);
    return &t->v[code];
}

const uint8_t *skip_step(Dwarf *r, const Unit *u, Skip s, const uint8_t *p, const uint8_t *end)
{
    switch (s.op) {
    case S_FIXED: return advance(r, p, end, s.n);
    case S_ULEB: read_uleb(r, &p, end); return p;
    case S_STRING: {
        const uint8_t *zero = memchr(p, 0, (size_t)(end - p));
        if (!zero) fail(r, "truncated debug information");
        return zero + 1;
    }
    case S_BLOCK1: {
        uint64_t n = read_fixed(r, &p, end, 1);
        return advance(r, p, end, n);
    }
    case S_BLOCK2: {
        uint64_t n = read_fixed(r, &p, end, 2);
        return advance(r, p, end, n);
    }
    case S_BLOCK4: {
        uint64_t n = read_fixed(r, &p, end, 4);
        return advance(r, p, end, n);
    }
    case S_BLOCK: {
        uint64_t n = read_uleb(r, &p, end);
        return advance(r, p, end, n);
    }
    default: {
        uint64_t form = read_uleb(r, &p, end);
        if (form == FORM_INDIRECT || form == FORM_IMPLICIT_CONST) fail(r, "an indirect form names an indirect form");
        return skip_step(r, u, skip_of_form(r, form, u->offset_size, u->version), p, end);
    }
    }
}

const uint8_t *skip_attributes(Dwarf *r, const Unit *u, const Abbrev *a, const uint8_t *p, const uint8_t *end)
{
    const Skip *s = u->abbrevs->skips + a->skip;
    for (uint32_t i = 0; i < a->skips; i++) p = skip_step(r, u, s[i], p, end);
    return p;
}
