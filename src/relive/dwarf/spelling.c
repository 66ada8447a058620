/* Canonical spellings of types.
 *
 * A spelling names structs by name and resolves typedefs, so two types spelled alike are the same type as far as one
 * object file can tell.  Unnamed structs are spelled by their content, base types by encoding and size as well where
 * their name alone does not say what it says on x86-64. */
#include "reader.h"

#include "codes.h"

#define LONGEST 16384 /* of one spelling; a longer one (garbage, or a huge unnamed struct) is cut and hashed */

void add_type(Dwarf *r, const Die *d, Buf *b, unsigned depth)
{
    if (HAS(d, A_TYPE)) buf_str(r, b, spell(r, d->v[A_TYPE].u, depth).text);
    else buf_text(r, b, "void");
}

bool is_block(const Val *v)
{
    return v->form == FORM_EXPRLOC || v->form == FORM_BLOCK || v->form == FORM_BLOCK1 || v->form == FORM_BLOCK2 ||
           v->form == FORM_BLOCK4;
}

/* ---- base types: a name alone where it means what it means on x86-64, else with encoding and size ---- */
static void add_base(Dwarf *r, const Die *d, Buf *b)
{
    static const struct {
        const char *name;
        uint8_t encoding, size;
    } USUAL[] = {
        {"int", 5, 4},
        {"char", 6, 1},
        {"unsigned int", 7, 4},
        {"float", 4, 4},
        {"double", 4, 8},
        {"bool", 2, 1},
        {"_Bool", 2, 1},
        {"long int", 5, 8},
        {"long", 5, 8},
        {"long unsigned int", 7, 8},
        {"unsigned long", 7, 8},
        {"short int", 5, 2},
        {"short", 5, 2},
        {"short unsigned int", 7, 2},
        {"unsigned short", 7, 2},
        {"unsigned char", 8, 1},
        {"signed char", 6, 1},
        {"long long int", 5, 8},
        {"long long", 5, 8},
        {"long long unsigned int", 7, 8},
        {"unsigned long long", 7, 8},
        {"wchar_t", 5, 4},
        {"char16_t", 16, 2},
        {"char32_t", 16, 4},
        {"char8_t", 16, 1},
        {"long double", 4, 16},
        {"__int128", 5, 16},
        {"__int128 unsigned", 7, 16},
        {"unsigned __int128", 7, 16},
        {"_Float128", 4, 16},
        {"__float128", 4, 16},
    };
    Str name = die_text(r, d, A_NAME);
    uint64_t encoding = HAS(d, A_ENCODING) ? d->v[A_ENCODING].u : 0, size = HAS(d, A_SIZE) ? d->v[A_SIZE].u : 0;
    buf_str(r, b, name);
    for (unsigned i = 0; i < sizeof USUAL / sizeof *USUAL; i++)
        if (USUAL[i].encoding == encoding && USUAL[i].size == size && same(name, USUAL[i].name)) return;
    buf_format(r, b, "{encoding %llu, %llu bytes}", (unsigned long long)encoding, (unsigned long long)size);
}

/* ---- spellings ---- */
static Spelling keep(Dwarf *r, Buf *b, uint64_t split, bool parens)
{
    if (b->n > LONGEST) {
        uint64_t hash = hash_bytes(b->p, b->n, 0);
        b->n = 256;
        buf_format(r, b, "... {%016llx}", (unsigned long long)hash);
        split = b->n;
        parens = false;
    }
    Spelling s = {.text = buf_keep(r, b), .split = (uint32_t)split, .parens = parens};
    buf_pop(r);
    return s;
}

static Spelling plain(Str s) { return (Spelling){.text = s, .split = (uint32_t)s.n}; }

static Spelling pointer(Dwarf *r, Spelling to, const char *sign)
{
    Buf *b = buf_push(r);
    buf_add(r, b, to.text.p, to.split);
    if (to.parens) buf_text(r, b, to.split && !strchr(" *&(", to.text.p[to.split - 1]) ? " (" : "(");
    buf_text(r, b, sign);
    uint64_t split = b->n;
    if (to.parens) buf_text(r, b, ")");
    buf_add(r, b, to.text.p + to.split, to.text.n - to.split);
    Spelling s = keep(r, b, split, false);
    s.pointer = true;
    return s;
}

static Spelling qualified(Dwarf *r, Spelling of, const char *word)
{
    uint64_t n = strlen(word), split = of.split + n + 1;
    const char *left = of.text.p;
    if (of.pointer ? of.split > n && !memcmp(left + of.split - n, word, n)
                   : of.text.n > n && !memcmp(left, word, n) && left[n] == ' ')
        return of; /* gcc says it of an array and of its elements */
    Buf *b = buf_push(r);
    if (of.pointer) {
        buf_add(r, b, of.text.p, of.split);
        buf_text(r, b, " ");
        buf_text(r, b, word);
        buf_add(r, b, of.text.p + of.split, of.text.n - of.split);
    } else {
        buf_text(r, b, word);
        buf_text(r, b, " ");
        buf_str(r, b, of.text);
    }
    Spelling s = keep(r, b, split, of.parens);
    s.pointer = of.pointer;
    return s;
}

static Spelling array(Dwarf *r, const Die *d, unsigned depth)
{
    Spelling of = HAS(d, A_TYPE) ? spell(r, d->v[A_TYPE].u, depth) : plain(str_of("void"));
    Buf *b = buf_push(r);
    Die bound;
    buf_add(r, b, of.text.p, of.split);
    Kids kids = kids_of(d);
    for (const Abbrev *a; (a = kids_next(r, &kids)) != NULL;) {
        if (a->tag != TAG_SUBRANGE) continue;
        kids_read(r, &kids, &bound);
        uint64_t n = 0;
        if (HAS(&bound, A_COUNT) && !is_block(&bound.v[A_COUNT])) n = bound.v[A_COUNT].u;
        else if (HAS(&bound, A_UPPER) && !is_block(&bound.v[A_UPPER])) n = bound.v[A_UPPER].u + 1;
        if (HAS(&bound, A_COUNT) || HAS(&bound, A_UPPER)) buf_format(r, b, "[%llu]", (unsigned long long)n);
        else buf_text(r, b, "[]");
    }
    buf_add(r, b, of.text.p + of.split, of.text.n - of.split);
    if (HAS(d, A_VECTOR)) buf_text(r, b, " vector");
    Spelling s = keep(r, b, of.split, true);
    s.pointer = of.pointer;
    return s;
}

typedef struct {
    Buf *text;
    bool first, constant_this;
} Parameters;

/* `this`: X*, or X const* in a const method; gcc makes the pointer const too. */
static bool is_constant_this(Dwarf *r, const Die *parameter)
{
    uint64_t off = HAS(parameter, A_TYPE) ? parameter->v[A_TYPE].u : 0;
    Die d;
    for (unsigned step = 0; off && step < 4; step++) {
        die_at(r, off, &d);
        off = HAS(&d, A_TYPE) ? d.v[A_TYPE].u : 0;
        if (d.abbrev->tag == TAG_POINTER) {
            if (off) die_at(r, off, &d);
            return off && d.abbrev->tag == TAG_CONST;
        }
    }
    return false;
}

static void add_parameters(Dwarf *r, const Die *d, Parameters *all, unsigned depth)
{
    Die parameter;
    Kids kids = kids_of(d);
    for (const Abbrev *a; (a = kids_next(r, &kids)) != NULL;) {
        if (a->tag != TAG_PARAMETER && a->tag != TAG_UNSPECIFIED_PARAMETERS && a->tag != TAG_PARAMETER_PACK) continue;
        kids_read(r, &kids, &parameter);
        if (a->tag == TAG_PARAMETER_PACK) { /* gcc: what a pack became, one by one */
            if (depth < DEPTH) add_parameters(r, &parameter, all, depth + 1);
            continue;
        }
        for (unsigned step = 0; !HAS(&parameter, A_TYPE) && HAS(&parameter, A_ORIGIN) && step < 8; step++)
            die_at(r, parameter.v[A_ORIGIN].u, &parameter);
        if (HAS(&parameter, A_ARTIFICIAL) && all->first) {
            all->constant_this = is_constant_this(r, &parameter);
            continue;
        }
        if (!all->first) buf_text(r, all->text, ", ");
        all->first = false;
        if (a->tag == TAG_UNSPECIFIED_PARAMETERS) buf_text(r, all->text, "...");
        else add_type(r, &parameter, all->text, depth);
    }
}

/* "(int, char const*, ...)" of a function or function type; a method's `this` shows as a trailing const only. */
void spell_parameters(Dwarf *r, const Die *d, Buf *b, unsigned depth)
{
    Parameters all = {.text = b, .first = true};
    buf_text(r, b, "(");
    add_parameters(r, d, &all, depth);
    buf_text(r, b, all.constant_this ? ") const" : ")");
}

static Spelling function(Dwarf *r, const Die *d, unsigned depth)
{
    Spelling result = HAS(d, A_TYPE) ? spell(r, d->v[A_TYPE].u, depth) : plain(str_of("void"));
    Buf *b = buf_push(r);
    buf_add(r, b, result.text.p, result.split);
    if (result.split == result.text.n || result.text.p[result.split - 1] != '*') buf_text(r, b, " ");
    uint64_t split = b->n;
    spell_parameters(r, d, b, depth);
    buf_add(r, b, result.text.p + result.split, result.text.n - result.split);
    return keep(r, b, split, true);
}

static Spelling unnamed(Dwarf *r, const Die *d, unsigned depth)
{
    Buf *b = buf_push(r);
    uint64_t unused = 0, virtuals = r->virtuals.n;
    uint16_t tag = d->abbrev->tag;
    buf_text(r, b, tag == TAG_UNION ? "union" : tag == TAG_ENUMERATION ? "enum" : "struct");
    buf_format(r, b, "(%llu) { ", (unsigned long long)(HAS(d, A_SIZE) ? d->v[A_SIZE].u : 0));
    layout_body(r, d, b, "; ", 0, &unused, depth);
    r->virtuals.n = virtuals;
    buf_text(r, b, "}");
    return keep(r, b, b->n, false);
}

static Spelling spell_die(Dwarf *r, const Die *d, unsigned depth)
{
    uint16_t tag = d->abbrev->tag;
    Spelling to = plain(str_of("void"));
    uint32_t type;
    Buf *b;
    switch (tag) {
    case TAG_BASE:
        b = buf_push(r);
        add_base(r, d, b);
        return keep(r, b, b->n, false);
    case TAG_UNSPECIFIED_TYPE: return plain(die_text(r, d, A_NAME));
    case TAG_STRUCTURE:
    case TAG_CLASS:
    case TAG_UNION:
    case TAG_INTERFACE:
    case TAG_ENUMERATION:
        if (HAS(d, A_SIGNATURE) && d->v[A_SIGNATURE].u) /* a stand-in for a type unit */
            return spell(r, d->v[A_SIGNATURE].u, depth);
        type = map_get(&r->type_of, d->off);
        if (type == NONE) fail(r, "a reference points into the middle of an entry");
        name_type(r, type, depth);
        return r->types.v[type].flags & T_UNNAMED ? unnamed(r, d, depth) : plain(r->types.v[type].spell);
    case TAG_ARRAY: return array(r, d, depth);
    case TAG_SUBROUTINE: return function(r, d, depth);
    default: break;
    }
    if (HAS(d, A_TYPE)) to = spell(r, d->v[A_TYPE].u, depth);
    switch (tag) {
    case TAG_TYPEDEF:
    case TAG_TEMPLATE_ALIAS:
    case TAG_RESTRICT:
    case TAG_IMMUTABLE: return to;
    case TAG_CONST: return qualified(r, to, "const");
    case TAG_VOLATILE: return qualified(r, to, "volatile");
    case TAG_ATOMIC: return qualified(r, to, "_Atomic");
    case TAG_POINTER: return pointer(r, to, "*");
    case TAG_REFERENCE: return pointer(r, to, "&");
    case TAG_RVALUE_REFERENCE: return pointer(r, to, "&&");
    case TAG_PTR_TO_MEMBER: {
        b = buf_push(r);
        buf_text(r, b, to.parens || !to.text.n ? "" : " ");
        if (HAS(d, A_CONTAINING)) buf_str(r, b, spell(r, d->v[A_CONTAINING].u, depth).text);
        buf_add(r, b, "::*", 4); /* with its NUL */
        to = pointer(r, to, b->p);
        buf_pop(r);
        return to;
    }
    default:
        b = buf_push(r);
        buf_format(r, b, "<tag 0x%x ", tag);
        buf_str(r, b, to.text);
        buf_text(r, b, ">");
        return keep(r, b, b->n, false);
    }
}

Spelling spell(Dwarf *r, uint64_t off, unsigned depth)
{
    if (!off) return plain(str_of("<unknown type>"));
    uint32_t known = map_get(&r->spelling_of, off);
    if (known != NONE) return r->spellings.v[known];
    if (depth > DEPTH) fail(r, "the debug information is nested too deep");
    Die d;
    die_at(r, off, &d);
    known = (uint32_t)r->spellings.n;
    *PUSH(r, r->spellings) = plain(str_of("<recursive>"));
    map_put(r, &r->spelling_of, off, known);
    Spelling s = spell_die(r, &d, depth + 1);
    return r->spellings.v[known] = s;
}
