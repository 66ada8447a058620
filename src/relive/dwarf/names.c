/* Texts, and the names of scopes, functions and types.
 *
 * Everything has up to three names:
 *   key    what tables of two objects are compared by: qualified; inside a function it begins with the function's
 *          linkage name and the block path: `_Z4drawv[0][1]::Item`
 *   spell  how other types name it: the key without block paths, so that a new block above it changes no other type
 *   show   for people: `game::draw()::Item`
 * Outside functions the three are one text. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "reader.h"

#include "codes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- texts ---- */
Str str_of(const char *text) { return (Str){text, strlen(text)}; }

bool same(Str a, const char *text) { return a.n == strlen(text) && !memcmp(a.p, text, a.n); }

Str join(Dwarf *r, Str a, const char *middle, Str b)
{
    uint64_t n = strlen(middle);
    char *p = arena(r, a.n + n + b.n);
    memcpy(p, a.p, a.n);
    memcpy(p + a.n, middle, n);
    memcpy(p + a.n + n, b.p, b.n);
    return (Str){p, a.n + n + b.n};
}

static bool starts(Str s, const char *with) { return s.n >= strlen(with) && !memcmp(s.p, with, strlen(with)); }

static Str qualify(Dwarf *r, Str scope, Str name) { return scope.n ? join(r, scope, "::", name) : name; }

/* Work space: a stack of buffers, because a text is made while another one is being made. They keep their memory. */
Buf *buf_push(Dwarf *r)
{
    if (r->buf_depth == r->bufs.n) {
        Buf **slot = PUSH(r, r->bufs);
        *slot = NULL;
        *slot = own(r, sizeof(Buf));
    }
    Buf *b = r->bufs.v[r->buf_depth++];
    b->n = 0;
    return b;
}

void buf_pop(Dwarf *r) { r->buf_depth--; }

void buf_add(Dwarf *r, Buf *b, const char *p, uint64_t n)
{
    if (n > b->cap - b->n) b->p = grow(r, b->p, &b->cap, b->n + n, 1);
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}

void buf_text(Dwarf *r, Buf *b, const char *text) { buf_add(r, b, text, strlen(text)); }
void buf_str(Dwarf *r, Buf *b, Str s) { buf_add(r, b, s.p, s.n); }

void buf_format(Dwarf *r, Buf *b, const char *format, ...)
{
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    buf_text(r, b, text);
}

Str buf_keep(Dwarf *r, const Buf *b)
{
    char *p = arena(r, b->n);
    if (b->n) memcpy(p, b->p, b->n);
    return (Str){p, b->n};
}

static const Str EMPTY = {"", 0};
static const Scope OUTSIDE = {.named = 1, .key = {"", 0}, .spell = {"", 0}, .show = {"", 0}};

static void check_depth(Dwarf *r, unsigned depth)
{
    if (depth > DEPTH) fail(r, "the debug information is nested too deep");
}

/* ---- functions ---- */
static bool is_cpp(uint32_t language) /* DW_LANG_C_plus_plus, _03, _11, _14, _17, _20, _23 */
{
    return language == 0x04 || language == 0x19 || language == 0x1a || language == 0x21 || language == 0x2a ||
           language == 0x2b || language == 0x3a;
}

Chain follow(Dwarf *r, const Die *first, bool place)
{
    Chain c = {.name = EMPTY, .linkage = EMPTY, .anchor = first->off, .file = NONE};
    Die other;
    const Die *d = first;
    for (unsigned step = 0; step < 8; step++) {
        if (!c.name.n) c.name = die_text(r, d, A_NAME);
        if (!c.linkage.n) c.linkage = die_text(r, d, A_LINKAGE);
        if (!c.has_type && HAS(d, A_TYPE)) {
            c.has_type = true;
            c.type = d->v[A_TYPE].u;
        }
        /* each by itself: gcc leaves out whichever is the declaration's */
        if (place && !c.line && HAS(d, A_LINE)) c.line = (uint32_t)d->v[A_LINE].u;
        if (place && c.file == NONE && HAS(d, A_FILE)) c.file = file_number(r, d->unit, d->v[A_FILE].u);
        c.external |= HAS(d, A_EXTERNAL);
        c.noreturn |= HAS(d, A_NORETURN);
        c.artificial |= HAS(d, A_ARTIFICIAL);
        uint64_t next = HAS(d, A_ORIGIN) ? d->v[A_ORIGIN].u : HAS(d, A_SPEC) ? d->v[A_SPEC].u : 0;
        if (!next) break;
        c.by_origin |= HAS(d, A_ORIGIN);
        c.anchor = next;
        die_at(r, next, &other);
        d = &other;
    }
    c.scope = scope_of(r, c.anchor);
    return c;
}

/* The qualified name of a function for people. */
Str function_name(Dwarf *r, const Chain *c, unsigned depth)
{
    const Scope *scope = name_scope(r, c->scope, depth + 1);
    if (scope->kind == K_TYPE && (scope->flags & T_LAMBDA) && starts(c->name, "operator()")) return scope->show;
    Str name = c->name.n ? c->name : c->linkage.n ? c->linkage : str_of("<unnamed>"); /* clang's _GLOBAL__sub_I_x.cpp */
    return qualify(r, scope->show, name);
}

/* What it is known by: the linkage name, or its name inside what encloses it, in C++ with parameters (gcc gives no
 * linkage name to what is not visible outside, so overloads are told apart here). */
static Str function_key(Dwarf *r, const Chain *c, unsigned depth)
{
    if (c->linkage.n) return c->linkage;
    Str key = qualify(r, name_scope(r, c->scope, depth + 1)->spell, c->name.n ? c->name : str_of("<unnamed>"));
    Die d;
    die_at(r, c->anchor, &d);
    if (!is_cpp(d.unit->language) || !c->name.n) return key;
    Buf *b = buf_push(r);
    buf_str(r, b, key);
    spell_parameters(r, &d, b, depth + 1);
    key = buf_keep(r, b);
    buf_pop(r);
    return key;
}

/* ---- scopes ---- */
const Scope *name_scope(Dwarf *r, uint32_t index, unsigned depth)
{
    if (index == NONE) return &OUTSIDE;
    Scope *s = &r->scopes.v[index]; /* the walk is over: scopes do not move any more */
    if (s->named) return s;
    check_depth(r, depth);
    const Scope *parent = name_scope(r, s->parent, depth + 1);
    s->flags = parent->flags;
    if (s->kind == K_TYPE) {
        name_type(r, s->type, depth + 1);
        const Type *t = &r->types.v[s->type];
        s->key = t->key;
        s->spell = t->spell;
        s->show = t->show;
        s->flags = t->flags & (T_LOCAL | T_ANONYMOUS_NAMESPACE | T_LAMBDA);
    } else if (s->kind == K_BLOCK) {
        char ordinal[16];
        snprintf(ordinal, sizeof ordinal, "[%u]", s->ordinal);
        s->key = join(r, parent->key, ordinal, EMPTY);
        s->spell = parent->spell;
        s->show = parent->show;
    } else if (s->kind == K_NAMESPACE) {
        Die d;
        die_at(r, s->off, &d);
        Str name = die_text(r, &d, A_NAME);
        if (!name.n) {
            name = str_of("(anonymous namespace)");
            s->flags |= T_ANONYMOUS_NAMESPACE;
        }
        bool plain = parent->key.p == parent->spell.p && parent->key.p == parent->show.p;
        s->key = qualify(r, parent->key, name);
        s->spell = plain ? s->key : qualify(r, parent->spell, name);
        s->show = plain ? s->key : qualify(r, parent->show, name);
    } else { /* a function, or its body inlined elsewhere */
        Die d;
        die_at(r, s->off, &d);
        Chain c = follow(r, &d, false);
        s->key = s->spell = function_key(r, &c, depth + 1);
        s->show = join(r, function_name(r, &c, depth + 1), "()", EMPTY);
        s->flags |= T_LOCAL;
    }
    s->named = 1;
    return s;
}

/* ---- types ---- */
/* gcc and clang leave closure types without a name; what makes them one is their operator(). */
static bool is_closure(Dwarf *r, const Type *t, Closure *out)
{
    Die d;
    if (!(t->flags & T_UNNAMED) || t->alias || (t->tag != TAG_STRUCTURE && t->tag != TAG_CLASS)) return false;
    die_at(r, t->off, &d);
    out->line = HAS(&d, A_LINE) ? d.v[A_LINE].u : 0;
    out->column = HAS(&d, A_COLUMN) ? d.v[A_COLUMN].u : 0;
    Kids kids = kids_of(&d);
    for (const Abbrev *a; (a = kids_next(r, &kids)) != NULL;) {
        if (a->tag != TAG_SUBPROGRAM) continue;
        kids_read(r, &kids, &d);
        out->linkage = die_text(r, &d, A_LINKAGE);
        Str name = die_text(r, &d, A_NAME); /* generic ones have operator()<int>; gcc calls a constructor <lambda> */
        if (starts(name, "operator()") || starts(name, "<lambda") || starts(name, "~<lambda")) return true;
    }
    return false;
}

static int compare(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }

/* By place in the source. clang 14 has no columns, but numbers them within the unit: `$_2` is before `$_10`. */
static int by_place(const void *a, const void *b)
{
    const Closure *x = a, *y = b;
    int order = compare(x->scope, y->scope);
    order = order ? order : compare(x->line, y->line);
    order = order ? order : compare(x->column, y->column);
    order = order ? order : compare(x->linkage.n, y->linkage.n);
    order = order ? order : memcmp(x->linkage.p, y->linkage.p, x->linkage.n);
    return order ? order : compare(x->type, y->type);
}

/* Closures are told apart by their order in the function (or class, or namespace) that holds them. */
static void number_closures(Dwarf *r)
{
    Closure c;
    for (uint32_t i = 0; i < r->types.n; i++) {
        if (!is_closure(r, &r->types.v[i], &c)) continue;
        c.type = i;
        c.scope = r->types.v[i].scope;
        while (c.scope != NONE && r->scopes.v[c.scope].kind == K_BLOCK) c.scope = r->scopes.v[c.scope].parent;
        *PUSH(r, r->closures) = c;
    }
    if (r->closures.n) qsort(r->closures.v, r->closures.n, sizeof c, by_place);
    uint32_t number = 0;
    for (uint64_t i = 0; i < r->closures.n; i++) {
        const Closure *this = &r->closures.v[i];
        number = i && this[-1].scope == this->scope ? number + 1 : 1;
        r->types.v[this->type].lambda = number;
    }
}

/* gcc writes <lambda(int)>, clang (lambda at file:line:column). */
static bool mentions_lambda(Str s)
{
    return memmem(s.p, s.n, "<lambda", 7) != NULL || memmem(s.p, s.n, "(lambda at", 10) != NULL;
}

void name_type(Dwarf *r, uint32_t index, unsigned depth)
{
    Type *t = &r->types.v[index];
    Die d;
    if (t->named) return;
    check_depth(r, depth);
    t->named = 1;
    t->key = t->spell = t->show = str_of("<recursive>");
    die_at(r, t->off, &d);
    Str name = die_text(r, &d, A_NAME), show;
    uint32_t scope = t->scope;
    if (HAS(&d, A_DECLARATION) || HAS(&d, A_SIGNATURE)) t->flags |= T_DECLARATION;
    for (unsigned step = 0; step < 4 && (HAS(&d, A_SPEC) || HAS(&d, A_SIGNATURE)); step++) {
        /* struct A::B { } outside A; a stand-in for a type unit, in which gcc does the same again */
        uint64_t other = d.v[HAS(&d, A_SPEC) ? A_SPEC : A_SIGNATURE].u;
        if (!other) break;
        scope = scope_of(r, other);
        die_at(r, other, &d);
        name = name.n ? name : die_text(r, &d, A_NAME);
    }
    if (!name.n && t->alias) {
        die_at(r, t->alias, &d);
        name = die_text(r, &d, A_NAME);
        scope = scope_of(r, t->alias);
        t->flags |= T_TYPEDEF;
    }
    const Scope *parent = name_scope(r, scope, depth + 1);
    t->flags |= parent->flags & (T_LOCAL | T_ANONYMOUS_NAMESPACE);
    show = name;
    if (t->lambda) {
        char text[32];
        snprintf(text, sizeof text, "<lambda#%u>", t->lambda);
        name = join(r, str_of(text), "", EMPTY);
        show = str_of("<lambda>");
        t->flags |= T_LAMBDA;
        t->flags &= (uint8_t)~T_UNNAMED;
    } else if (!name.n) {
        name = show = str_of("<unnamed>");
    } else {
        t->flags &= (uint8_t)~T_UNNAMED;
        /* also a typedef inside of such a type: std::remove_reference<(lambda at ...)>::type */
        if (mentions_lambda(name) || mentions_lambda(parent->show)) t->flags |= T_NAMES_LAMBDA;
    }
    t->key = qualify(r, parent->key, name);
    bool plain = !t->lambda && parent->key.p == parent->spell.p && parent->key.p == parent->show.p;
    t->spell = plain ? t->key : qualify(r, parent->spell, name);
    t->show = plain ? t->key : qualify(r, parent->show, show);
}

void name_types(Dwarf *r)
{
    number_closures(r);
    for (uint32_t i = 0; i < r->types.n; i++) {
        name_type(r, i, 0);
        const Type *t = &r->types.v[i];
        if (!(t->flags & (T_DECLARATION | T_UNNAMED))) {
            uint64_t hash = hash_bytes(t->spell.p, t->spell.n, 0);
            if (map_get(&r->type_named, hash) == NONE) map_put(r, &r->type_named, hash, i);
        }
    }
    r->named = true;
}

/* Where the type that a DIE declares is defined: itself, a type unit, or elsewhere in this object (0: nowhere). */
uint64_t definition_of(Dwarf *r, const Die *d)
{
    if (HAS(d, A_SIGNATURE)) return d->v[A_SIGNATURE].u;
    if (!HAS(d, A_DECLARATION)) return d->off;
    uint32_t index = map_get(&r->type_of, d->off);
    if (index == NONE) return 0;
    const Type *t = &r->types.v[index];
    uint32_t found = map_get(&r->type_named, hash_bytes(t->spell.p, t->spell.n, 0));
    return found == NONE ? 0 : r->types.v[found].off;
}
