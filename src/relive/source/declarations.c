/* Components: what is declared at namespace and class scope, one row each, ordered by where it begins.
 *
 * A declaration is walked from left to right with little knowledge: what is in brackets is skipped, the last
 * identifier before a parenthesis or a terminator is the declarator's name, and a brace after a parameter list opens a
 * body.  Nothing needs to be known about types, because after preprocessing only names, brackets and keywords decide
 * where a declaration ends.  Bodies of functions are not looked into.  What does not fit is marked F_UNCERTAIN. */
#include "scan.h"

#include <string.h>

#define NONE        UINT32_MAX
#define DEPTH_LIMIT 200

typedef struct {
    int32_t parent;
    uint8_t depth;
    bool in_class;
} Scope;

/* An id-expression: A::B<int>::name.  All are token indices; `end` is past its last token. */
typedef struct {
    uint32_t first, name, end;
    bool qualified;
} Name;

typedef struct {
    Scan *s;
    uint32_t row; /* of the component that is being read */
    uint32_t end; /* tokens of the scope end here */
    uint32_t flags;
    Name last, declared, of_class;
    uint32_t params; /* token of the parenthesis that opens the parameters */
    uint32_t strip, body, body_end;
    bool is_typedef, is_elaborated, has_class, is_enum, in_parens, automatic, trailing, empty_template, other_template,
        several;
} Reader;

static const Name NO_NAME = {NONE, NONE, NONE, false};

static void scope(Scan *s, uint32_t i, uint32_t end, Scope where);

static const Token *tok(const Scan *s, uint32_t i) { return &s->tokens.v[i < s->tokens.n ? i : s->tokens.n - 1]; }
static uint32_t kind(const Scan *s, uint32_t i) { return tok(s, i)->kind; }

static bool is_word(const Scan *s, uint32_t i, const char *word)
{
    const Token *t = tok(s, i);
    size_t n = strlen(word);
    return t->end - t->start == n && !memcmp(s->data + t->start, word, n);
}

static bool opens(uint32_t kind) { return kind == '(' || kind == '[' || kind == '{'; }
static bool closes(uint32_t kind) { return kind == ')' || kind == ']' || kind == '}'; }

/* Past a bracket group that begins at i. */
static uint32_t past(const Scan *s, uint32_t i)
{
    uint32_t match = s->tokens.v[i].match;
    return match + 1 < s->tokens.n ? match + 1 : s->tokens.n - 1;
}

/* Past one token or one bracket group, not beyond `end`. */
static uint32_t step(const Scan *s, uint32_t i, uint32_t end)
{
    uint32_t next = opens(kind(s, i)) ? past(s, i) : i + 1;
    return next < end ? next : end;
}

/* The ';' that ends what is at i, or `end`; *clean tells which. */
static uint32_t semicolon(const Scan *s, uint32_t i, uint32_t end)
{
    while (i < end && kind(s, i) != ';' && !closes(kind(s, i))) i = step(s, i, end);
    return i;
}

/* Past the template arguments or parameters whose '<' is at i; i itself when they do not end before something that
 * cannot be in them. `a < b` without parentheses is legal inside: then the last '>' is taken and *doubt is set. */
static uint32_t past_angles(const Scan *s, uint32_t i, uint32_t end, bool *doubt)
{
    uint32_t depth = 0, last = i;
    for (uint32_t j = i; j < end;) {
        uint32_t k = kind(s, j), before = j > 0 ? kind(s, j - 1) : T_END;
        if (k == ';' || closes(k)) break;
        if (k == K_OPERATOR_NAME) { /* &X::operator< */
            j += opens(kind(s, j + 1)) ? 1 : 2;
            continue;
        }
        if (k == '<' && (j == i || before == T_ID || before == K_TEMPLATE || before == K_DECLTYPE)) depth++;
        if (k == '>') {
            last = j + 1;
            if (--depth == 0) return j + 1;
        }
        j = step(s, j, end);
    }
    if (last > i) *doubt = true;
    return last;
}

/* ---- clauses ---- */

/* requires: primary expressions joined by && and ||. i is past the keyword. */
static uint32_t past_requirement(const Scan *s, uint32_t i, uint32_t end, bool *doubt)
{
    while (i < end) {
        while (kind(s, i) == '!') i++;
        if (kind(s, i) == '(') {
            i = past(s, i);
        } else if (kind(s, i) == K_REQUIRES) {
            i++;
            if (kind(s, i) == '(') i = past(s, i);
            if (kind(s, i) == '{') i = past(s, i);
        } else {
            for (bool operand = false; i < end;) {
                uint32_t k = kind(s, i);
                if (k == T_SCOPE || k == K_TEMPLATE || k == K_EXTENSION) {
                    operand = false;
                    i++;
                } else if (!operand && (k == T_ID || k == T_NUMBER || k == K_DECLTYPE)) {
                    operand = true;
                    i++;
                    if (k == K_DECLTYPE && kind(s, i) == '(') i = past(s, i);
                    if (k == T_ID && kind(s, i) == '<') {
                        uint32_t next = past_angles(s, i, end, doubt);
                        i = next > i ? next : i + 1;
                    }
                } else {
                    break;
                }
            }
        }
        const Token *t = tok(s, i);
        uint8_t c = t->start < s->size ? s->data[t->start] : 0;
        if (t->kind != T_OPERATOR || t->end - t->start != 2 || (c != '&' && c != '|')) return i < end ? i : end;
        i++;
    }
    return end;
}

/* What the attributes from `from` to `to` ask for. */
static uint32_t attribute_flags(const Scan *s, uint32_t from, uint32_t to)
{
    static const char *const keep[] = {"alias", "ifunc", "target_clones", "weakref", "simd"};
    uint32_t flags = F_ATTRIBUTED;
    for (uint32_t i = from; i < to; i++) {
        const Token *t = tok(s, i);
        if (t->kind != T_ID) continue;
        const uint8_t *p = s->data + t->start;
        size_t n = t->end - t->start;
        if (n > 4 && p[0] == '_' && p[1] == '_' && p[n - 1] == '_') p += 2, n -= 4; /* __alias__ */
        if ((n == 13 && !memcmp(p, "always_inline", n)) || (n == 10 && !memcmp(p, "gnu_inline", n)))
            flags |= F_ALWAYS_INLINE | F_KEEP;
        for (size_t k = 0; k < sizeof keep / sizeof *keep; k++)
            if (strlen(keep[k]) == n && !memcmp(p, keep[k], n)) flags |= F_KEEP;
    }
    return flags;
}

/* Past the attribute at i: __attribute__((..)), alignas(..), [[..]]; i when there is none. */
static uint32_t past_attribute(const Scan *s, uint32_t i, uint32_t *flags)
{
    uint32_t next = i;
    if (kind(s, i) == K_ATTRIBUTE || kind(s, i) == K_ALIGNAS) next = kind(s, i + 1) == '(' ? past(s, i + 1) : i + 1;
    else if (kind(s, i) == '[' && kind(s, i + 1) == '[' && tok(s, i)->match == tok(s, i + 1)->match + 1)
        next = past(s, i);
    if (next > i && kind(s, i) != K_ALIGNAS) *flags |= attribute_flags(s, i, next);
    return next;
}

/* The parameters between the parenthesis `open` and its match. */
static uint32_t parameter_flags(const Scan *s, uint32_t open)
{
    uint32_t flags = 0, close = tok(s, open)->match;
    for (uint32_t i = open + 1; i < close; i++) {
        uint32_t k = kind(s, i);
        if (k == '=') flags |= F_DEFAULTS;
        if (k == K_AUTO) flags |= F_TEMPLATE;
        if (k == '{' && kind(s, i - 1) != '=' && tok(s, i)->match > i + 1) flags |= F_KEEP; /* a lambda, perhaps */
        if (k == '(') { /* what is in it are no parameters of ours */
            for (uint32_t end = tok(s, i)->match; i < end && i < close; i++)
                if (kind(s, i) == '{') flags |= F_KEEP;
        }
    }
    return flags;
}

/* ---- names ---- */

/* The id-expression grows by the token at i, or a new one begins there. */
static void name_token(const Scan *s, Name *name, uint32_t i)
{
    bool joined = i > 0 && kind(s, i - 1) == T_SCOPE;
    if (joined && name->end == i - 1) {
        name->qualified = true;
    } else {
        name->first = joined ? i - 1 : i;
        name->qualified = false;
    }
    name->name = i;
    name->end = i + 1;
}

/* `operator ...` at i; the name ends before the parameters (or before template arguments of theirs). */
static uint32_t operator_name(Reader *r, uint32_t i)
{
    Scan *s = r->s;
    name_token(s, &r->last, i);
    uint32_t k = kind(s, ++i), next = kind(s, i + 1);
    if ((k == '(' && next == ')') || (k == '[' && next == ']')) {
        i += 2;
    } else if (k == T_STRING) {
        i += next == T_ID ? 2 : 1;
    } else if (k == K_DELETE || is_word(s, i, "new")) {
        i += next == '[' ? 3 : 1;
    } else if (k < 128 || k == T_OPERATOR || k == T_ARROW) {
        bool two = (k == '>' && next == '>') || (k == T_ARROW && next == '*');
        i += two && tok(s, i)->end == tok(s, i + 1)->start ? 2 : 1;
    } else { /* a conversion */
        bool doubt = false;
        while (i < r->end && kind(s, i) != '(' && kind(s, i) != ';' && kind(s, i) != '{') {
            uint32_t from = i;
            if (kind(s, i) == K_DECLTYPE && kind(s, i + 1) == '(') i = past(s, i + 1);
            else if (kind(s, i) == '<') i = past_angles(s, i, r->end, &doubt);
            if (i == from) i++;
        }
        if (doubt) r->flags |= F_UNCERTAIN;
    }
    r->last.end = i < r->end ? i : r->end;
    return r->last.end;
}

static void declare(Reader *r)
{
    if (r->declared.name == NONE) r->declared = r->last;
}

/* (*name)(int), (name), (*name(int))(int): a parenthesis where a declarator is expected. */
static void declarator_group(Reader *r, uint32_t open)
{
    Scan *s = r->s;
    uint32_t close = tok(s, open)->match;
    bool indirect = false, doubt = false;
    Name name = NO_NAME;
    for (uint32_t i = open + 1; i < close;) {
        uint32_t k = kind(s, i), ignored = 0, next = past_attribute(s, i, &ignored);
        if (next > i) {
            i = next;
            continue;
        }
        if (k == '*' || k == '&' || k == '^' || k == T_OPERATOR) indirect = true;
        if (k == T_ID) name_token(s, &name, i);
        if (k == '(' && name.end == i && name.name != NONE) {
            r->params = i;
            break;
        }
        if (k == '(' && name.name == NONE) {
            open = i; /* ((name)) */
            i++;
            continue;
        }
        if (k == '<' && name.end == i) {
            next = past_angles(s, i, close, &doubt);
            name.end = next;
            i = next > i ? next : i + 1;
            continue;
        }
        i = k == '[' ? past(s, i) : i + 1;
    }
    if (name.name == NONE) return;
    r->last = name;
    if (r->params == NONE) {
        r->in_parens = !indirect;
        if (indirect) declare(r);
    }
}

/* ---- pieces of a declaration ---- */

/* class, struct, union or enum at i. */
static uint32_t class_head(Reader *r, uint32_t i, Scope where)
{
    Scan *s = r->s;
    bool is_enum = kind(s, i) == K_ENUM, doubt = false;
    uint32_t j = i + 1, ignored = 0;
    if (is_enum && kind(s, j) == K_CLASS) j++;
    Name name = NO_NAME;
    for (;;) {
        uint32_t next = past_attribute(s, j, &ignored);
        if (next == j && kind(s, j) == K_EXTENSION) next++;
        if (next == j && kind(s, j) == T_ID) {
            bool final = name.name != NONE && is_word(s, j, "final");
            if (name.name != NONE && name.end != j - 1 && !final) break; /* struct S name */
            if (name.name != NONE && !final && kind(s, j - 1) != T_SCOPE) break;
            if (final && kind(s, j + 1) != '{' && kind(s, j + 1) != ':') break;
            if (!final) name_token(s, &name, j);
            next++;
        }
        if (next == j && (kind(s, j) == T_SCOPE || (kind(s, j) == K_TEMPLATE && name.name != NONE))) next++;
        if (next == j && kind(s, j) == '<' && name.end == j) {
            next = past_angles(s, j, r->end, &doubt);
            name.end = next;
        }
        if (next == j || next >= r->end) break;
        j = next;
    }
    uint32_t open = j;
    if (kind(s, j) == ':' && (s->cplusplus || is_enum)) {
        while (open < r->end && kind(s, open) != '{' && kind(s, open) != ';' && !closes(kind(s, open))) {
            uint32_t next = open;
            if (kind(s, open) == '<') next = past_angles(s, open, r->end, &doubt);
            open = next > open ? next : step(s, open, r->end);
        }
    }
    if (doubt) r->flags |= F_UNCERTAIN;
    if (kind(s, open) != '{') { /* struct S x; enum E : int; */
        r->last = name;
        r->is_elaborated = kind(s, open) == ';';
        return r->is_elaborated ? open : j > i ? j : i + 1;
    }
    if (r->params != NONE || open >= r->end) return i + 1;
    r->has_class = true;
    r->is_enum = is_enum;
    r->of_class = name;
    r->last = NO_NAME;
    uint32_t close = tok(s, open)->match < r->end ? tok(s, open)->match : r->end;
    if (!is_enum && s->cplusplus && where.depth < DEPTH_LIMIT)
        scope(s, open + 1, close, (Scope){(int32_t)r->row, (uint8_t)(where.depth + 1), true});
    r->body = tok(s, open)->start;
    r->body_end = tok(s, close)->end;
    return close < r->end ? close + 1 : r->end;
}

/* int f(a, b) int a; char *b; { in C: i is past the parameters; the brace, or i when there are no such declarations. */
static uint32_t old_style(Reader *r, uint32_t i)
{
    Scan *s = r->s;
    uint32_t close = i - 1, k = kind(s, i);
    if (s->cplusplus || r->params + 1 >= close) return i;
    if (k != T_ID && k != K_TYPE && k != K_CONST && k != K_CLASS && k != K_ENUM && k != K_EXTENSION && k != K_DECLTYPE)
        return i;
    for (uint32_t j = r->params + 1; j < close; j++)
        if (kind(s, j) != T_ID && kind(s, j) != ',') return i;
    uint32_t j = i;
    while (j < r->end && kind(s, j) != '{' && !closes(kind(s, j))) j = step(s, j, r->end);
    if (j >= r->end || kind(s, j) != '{' || kind(s, j - 1) != ';') return i;
    r->flags |= F_KNR | F_KEEP;
    return j;
}

static uint32_t parenthesis(Reader *r, uint32_t i)
{
    Scan *s = r->s;
    uint32_t next = past(s, i), inside = kind(s, i + 1), after = kind(s, next);
    if (next > r->end) next = r->end;
    if (r->in_parens) { /* the parameters of (name) */
        r->in_parens = false;
        r->params = i;
    } else if (r->last.name == NONE || r->last.end != i) {
        if (r->params == NONE && r->declared.name == NONE) declarator_group(r, i);
        if (r->params == NONE || r->declared.name != NONE) return next;
    } else if (kind(s, r->last.name) != K_OPERATOR_NAME && !r->last.qualified &&
               (inside == '*' || inside == '^' || inside == '&' || after == '(') && after != '{' && after != ':' &&
               (after == '(' || after == '[')) { /* type (*name)(int) */
        r->last = NO_NAME;
        declarator_group(r, i);
        return next;
    } else {
        r->params = i;
    }
    if (r->declared.name == NONE || (!r->several && r->declared.name < r->last.name)) r->declared = r->last;
    r->flags |= parameter_flags(s, r->params);
    if (r->params != i) return next;
    return old_style(r, next);
}

/* : a(1), b{2}, Base<T>(x)... { -- i is past the colon; the brace of the body. */
static uint32_t past_initialisers(Reader *r, uint32_t i)
{
    Scan *s = r->s;
    bool doubt = false;
    while (i < r->end) {
        while (i < r->end && kind(s, i) != '(' && kind(s, i) != '{' && kind(s, i) != ';' && !closes(kind(s, i))) {
            uint32_t next = i;
            if (kind(s, i) == '<') next = past_angles(s, i, r->end, &doubt);
            if (kind(s, i) == K_DECLTYPE && kind(s, i + 1) == '(') next = past(s, i + 1);
            i = next > i ? next : i + 1;
        }
        if (i >= r->end || !opens(kind(s, i))) break;
        i = past(s, i);
        if (kind(s, i) == T_OPERATOR) i++; /* ... */
        if (kind(s, i) != ',') break;
        i++;
    }
    if (doubt) r->flags |= F_UNCERTAIN;
    return i < r->end ? i : r->end;
}

static uint32_t trailing_type(Reader *r, uint32_t i)
{
    Scan *s = r->s;
    bool doubt = false;
    r->trailing = true;
    if (kind(s, i) == K_DECLTYPE && kind(s, i + 1) == '(' && kind(s, i + 2) == K_AUTO) r->trailing = false;
    if (kind(s, i) == K_AUTO) r->trailing = false;
    while (i < r->end) {
        uint32_t k = kind(s, i), next = i;
        if (k == '{' || k == ';' || k == '=' || k == K_REQUIRES || k == K_TRY || closes(k)) break;
        if (k == '<') next = past_angles(s, i, r->end, &doubt);
        i = next > i ? next : step(s, i, r->end);
    }
    if (doubt) r->flags |= F_UNCERTAIN;
    return i;
}

static uint32_t body(Reader *r, uint32_t i)
{
    Scan *s = r->s;
    r->body = tok(s, i)->start;
    uint32_t next = past(s, i) < r->end ? past(s, i) : r->end;
    while (kind(s, next) == K_CATCH && kind(s, next + 1) == '(' && next < r->end) {
        next = past(s, next + 1);
        if (kind(s, next) == '{') next = past(s, next);
    }
    if (next > r->end) next = r->end;
    if (tok(s, i)->match >= r->end) r->flags |= F_UNCERTAIN;
    r->body_end = tok(s, next - 1)->end;
    if (r->strip == NONE) r->strip = i > 0 ? tok(s, i - 1)->end : r->body;
    return next;
}

/* ---- one declaration ---- */

static void finish(Reader *r, uint32_t first, uint32_t end, uint32_t kind, Scope where)
{
    Scan *s = r->s;
    Component *c = &s->components.v[r->row];
    const Token *a = tok(s, first), *z = tok(s, end > first ? end - 1 : first);
    memset(c, 0, sizeof *c);
    c->start = a->start;
    c->end = z->end;
    if (r->declared.name != NONE) {
        c->name = tok(s, r->declared.name)->start;
        c->name_end = tok(s, r->declared.name)->end;
        if (tok(s, r->declared.name)->kind == K_OPERATOR_NAME) c->name_end = tok(s, r->declared.end - 1)->end;
        if (r->declared.name > first && tok(s, r->declared.name - 1)->kind == '~') c->name--;
        c->qualified = tok(s, r->declared.first)->start;
        c->qualified_end = c->name_end;
        if (r->declared.first == r->declared.name) c->qualified = c->name;
    }
    if (r->body != NONE) {
        c->body = r->body;
        c->body_end = r->body_end;
    }
    c->strip = r->strip != NONE ? r->strip : c->end;
    c->kind = (uint8_t)kind;
    c->depth = where.depth;
    c->parent = where.parent;
    c->marker = a->marker;
    uint32_t flags = r->flags;
    if (where.in_class) flags |= F_MEMBER;
    if (r->declared.qualified && kind <= C_VARIABLE && kind != C_ALIAS) flags |= F_QUALIFIED;
    if (r->empty_template && !r->other_template) flags |= F_SPECIALISED;
    if (kind == C_FUNCTION) {
        if (r->automatic && !r->trailing) flags |= F_AUTO_RETURN | F_KEEP;
        if (flags & (F_CONSTEXPR | F_UNCERTAIN)) flags |= F_KEEP;
        if ((flags & F_FRIEND) && (flags & (F_DEFAULTS | F_ATTRIBUTED))) flags |= F_KEEP;
        if ((flags & F_QUALIFIED) && (flags & (F_DEFAULTS | F_ATTRIBUTED))) flags |= F_KEEP;
    }
    /* Lines: of the marker before, counted on. */
    for (int last = 0; last < 2; last++) {
        const Token *t = last ? z : a;
        uint32_t line = t->line + 1;
        if (t->marker > 0) {
            const Marker *m = &s->markers.v[t->marker - 1];
            line = m->line + (t->line - s->lines.v[t->marker - 1] - 1);
            if (!last && m->system) flags |= F_SYSTEM;
        }
        *(last ? &c->last_line : &c->line) = line;
    }
    if (a->marker != z->marker) {
        const Marker *m = &s->markers.v[a->marker ? a->marker - 1 : 0], *n = &s->markers.v[z->marker - 1];
        size_t length = m->name_end - m->name;
        if (!a->marker || length != n->name_end - n->name || memcmp(s->data + m->name, s->data + n->name, length))
            flags |= F_UNCERTAIN | F_KEEP; /* begins in one file, ends in another */
    }
    c->flags = flags;
}

/* namespace at i (past `inline`); 0 when it is none. */
static uint32_t namespace(Reader *r, uint32_t first, uint32_t i, Scope where)
{
    Scan *s = r->s;
    uint32_t ignored = 0;
    for (i++; i < r->end;) {
        uint32_t next = past_attribute(s, i, &ignored);
        if (kind(s, i) == T_ID) {
            name_token(s, &r->last, i);
            declare(r); /* A::B::inline C: from the first to the last */
            r->declared.name = i;
            r->declared.end = i + 1;
        }
        if (next == i && kind(s, i) != T_ID && kind(s, i) != T_SCOPE && kind(s, i) != K_INLINE) break;
        i = next > i ? next : i + 1;
    }
    if (kind(s, i) != '{' || where.depth >= DEPTH_LIMIT) {
        i = semicolon(s, i, r->end);
        if (kind(s, i) != ';') r->flags |= F_UNCERTAIN;
        i = i < r->end ? i + 1 : i;
        finish(r, first, i, C_ALIAS, where);
        return i;
    }
    uint32_t close = tok(s, i)->match < r->end ? tok(s, i)->match : r->end;
    if (close == r->end) r->flags |= F_UNCERTAIN;
    r->body = tok(s, i)->start;
    r->body_end = tok(s, close)->end;
    uint32_t next = close < r->end ? close + 1 : close;
    finish(r, first, next, C_NAMESPACE, where);
    scope(s, i + 1, close, (Scope){(int32_t)r->row, (uint8_t)(where.depth + 1), false});
    return next;
}

static uint32_t linkage(Reader *r, uint32_t first, Scope where)
{
    Scan *s = r->s;
    uint32_t open = first + 2, close = tok(s, open)->match < r->end ? tok(s, open)->match : r->end;
    if (close == r->end) r->flags |= F_UNCERTAIN;
    r->body = tok(s, open)->start;
    r->body_end = tok(s, close)->end;
    uint32_t next = close < r->end ? close + 1 : close;
    finish(r, first, next, C_LINKAGE, where);
    scope(s, open + 1, close, (Scope){(int32_t)r->row, (uint8_t)(where.depth + 1), where.in_class});
    return next;
}

/* Something that ends at the next semicolon. */
static uint32_t simple(Reader *r, uint32_t first, uint32_t i, uint32_t what, Scope where)
{
    i = semicolon(r->s, i, r->end);
    if (kind(r->s, i) != ';' || i >= r->end) r->flags |= F_UNCERTAIN;
    i = i < r->end ? i + 1 : i;
    finish(r, first, i > first ? i : first + 1, what, where);
    return i > first ? i : first + 1;
}

static uint32_t kind_of(const Reader *r, bool initialised)
{
    if (r->is_typedef) return C_ALIAS;
    if (r->flags & F_FRIEND) return C_DECLARATION;
    if (r->has_class && r->declared.name == NONE) return r->is_enum ? C_ENUM : C_CLASS;
    if (r->params != NONE && !initialised) return C_DECLARATION;
    return C_VARIABLE;
}

static uint32_t declaration(Scan *s, uint32_t first, uint32_t end, Scope where)
{
    Reader reader = {.s = s, .row = s->components.n, .end = end}, *r = &reader;
    r->last = r->declared = r->of_class = NO_NAME;
    r->params = r->strip = r->body = NONE;
    PUSH(s, s->components);
    uint32_t i = first;
    bool doubt = false, is_type = false, initialised = false;
    for (;;) {
        if (doubt) r->flags |= F_UNCERTAIN;
        if (i >= end) break;
        uint32_t k = kind(s, i), next = past_attribute(s, i, &r->flags);
        if (next > i) { /* int f [[nodiscard]] (int) */
            if (r->last.end == i) r->last.end = next;
            i = next;
            continue;
        }
        switch (k) {
        case ';': {
            if (r->declared.name == NONE && r->last.name != NONE) declare(r);
            bool forward = r->is_elaborated && !r->has_class && r->declared.name == r->last.name;
            uint32_t what = kind_of(r, initialised);
            if (forward && what == C_VARIABLE) what = C_DECLARATION;
            if (r->declared.name == NONE) r->declared = r->of_class;
            finish(r, first, i + 1, what, where);
            return i + 1;
        }
        case K_NAMESPACE: return namespace(r, first, i, where);
        case K_USING: return simple(r, first, i, C_ALIAS, where);
        case K_STATIC_ASSERT: return simple(r, first, i, C_DECLARATION, where);
        case K_CONCEPT: name_token(s, &r->declared, i + 1); return simple(r, first, i, C_DECLARATION, where);
        case K_ASM:
            if (r->last.name == NONE && r->params == NONE) return simple(r, first, i, C_ASM, where);
            i++;
            if (kind(s, i) == '(') i = past(s, i);
            break;
        case K_TEMPLATE:
            if (i > first && kind(s, i - 1) == T_SCOPE) {
                i++;
            } else if (kind(s, i + 1) == '<') {
                r->flags |= F_TEMPLATE;
                *(kind(s, i + 2) == '>' ? &r->empty_template : &r->other_template) = true;
                next = past_angles(s, i + 1, end, &doubt);
                i = next > i + 1 ? next : i + 2;
                if (kind(s, i) == K_REQUIRES) i = past_requirement(s, i + 1, end, &doubt);
            } else { /* template class X<int>; */
                r->flags |= F_TEMPLATE | F_INSTANTIATION;
                return simple(r, first, i, (r->flags & F_EXTERN) ? C_DECLARATION : C_OTHER, where);
            }
            break;
        case K_REQUIRES: i = past_requirement(s, i + 1, end, &doubt); break;
        case K_EXTERN:
            if (i == first && kind(s, i + 1) == T_STRING && kind(s, i + 2) == '{') return linkage(r, first, where);
            r->flags |= F_EXTERN;
            i += kind(s, i + 1) == T_STRING ? 2 : 1;
            break;
        case K_STATIC:
            r->flags |= F_STATIC;
            i++;
            break;
        case K_INLINE:
            r->flags |= F_INLINE;
            i++;
            break;
        case K_CONSTEXPR:
            r->flags |= F_CONSTEXPR;
            i++;
            break;
        case K_FRIEND:
            r->flags |= F_FRIEND;
            i++;
            break;
        case K_TYPEDEF:
            r->is_typedef = true;
            i++;
            break;
        case K_AUTO:
            if (r->params == NONE) r->automatic = true;
            is_type = true;
            i++;
            break;
        case K_DECLTYPE:
        case K_NOEXCEPT:
        case K_EXPLICIT:
            i++;
            if (kind(s, i) == '(') {
                if (k == K_DECLTYPE && kind(s, i + 1) == K_AUTO && r->params == NONE) r->automatic = true;
                i = past(s, i);
            }
            is_type |= k == K_DECLTYPE;
            break;
        case K_TYPE:
            is_type = true;
            i++;
            if (kind(s, i) == '(' && is_word(s, i - 1, "_Atomic")) i = past(s, i);
            break;
        case K_CLASS:
        case K_ENUM:
            is_type = true;
            i = class_head(r, i, where);
            break;
        case K_OPERATOR_NAME: i = operator_name(r, i); break;
        case T_ID:
            if (r->params == NONE || kind(s, i + 1) == '(' || kind(s, i + 1) == T_SCOPE) name_token(s, &r->last, i);
            i++;
            break;
        case '~':
            i++;
            if (kind(s, i) == T_ID) {
                bool joined = i > first + 1 && kind(s, i - 2) == T_SCOPE && r->last.end == i - 2;
                if (!joined) r->last.first = i;
                r->last = (Name){r->last.first, i, i + 1, joined};
                i++;
            }
            break;
        case '<':
            next = r->last.end == i ? past_angles(s, i, end, &doubt) : i;
            if (next > i) r->last.end = next;
            else doubt = true;
            i = next > i ? next : i + 1;
            break;
        case '(': i = parenthesis(r, i); break;
        case '[':
            declare(r);
            i = past(s, i);
            break;
        case ',':
            declare(r);
            r->last = NO_NAME;
            r->several = true;
            i++;
            break;
        case '=':
            declare(r);
            if (kind(s, i + 1) == K_DEFAULT && r->params != NONE && r->declared.qualified) {
                r->strip = tok(s, i - 1)->end;
                r->flags |= F_DEFAULTED;
                return simple(r, first, i, C_FUNCTION, where);
            }
            initialised = r->params == NONE ||
                          !(kind(s, i + 1) == K_DEFAULT || kind(s, i + 1) == K_DELETE || kind(s, i + 1) == T_NUMBER);
            i = semicolon(s, i, end);
            if (i < end && kind(s, i) != ';') doubt = true, i = end;
            break;
        case T_ARROW: i = r->params != NONE ? trailing_type(r, i + 1) : i + 1; break;
        case ':':
            if (r->params != NONE && s->cplusplus) {
                if (r->strip == NONE) r->strip = tok(s, i - 1)->end;
                i = past_initialisers(r, i + 1);
                if (kind(s, i) != '{') doubt = true;
            } else { /* a bit field */
                declare(r);
                i++;
                while (i < end && kind(s, i) != ';' && kind(s, i) != ',' && kind(s, i) != '=' && !closes(kind(s, i)))
                    i = step(s, i, end);
            }
            break;
        case K_TRY:
            if (r->strip == NONE && i > 0) r->strip = tok(s, i - 1)->end;
            i++;
            break;
        case '{':
            if (r->params != NONE) {
                i = body(r, i);
                if (doubt) r->flags |= F_UNCERTAIN;
                if (r->is_typedef) r->flags |= F_UNCERTAIN;
                finish(r, first, i, C_FUNCTION, where);
                return i;
            }
            declare(r);
            if (r->last.name == NONE || !s->cplusplus) doubt = true;
            i = past(s, i);
            if (i > end) i = end;
            if (r->last.name == NONE && !is_type) { /* a block that belongs to nothing */
                r->flags |= F_UNCERTAIN;
                finish(r, first, i, C_OTHER, where);
                return i;
            }
            break;
        default:
            if (closes(k)) r->flags |= F_UNCERTAIN;
            i++;
        }
    }
    declare(r); /* the scope ends before the declaration does */
    r->flags |= F_UNCERTAIN;
    finish(r, first, end, C_OTHER, where);
    return end;
}

static void scope(Scan *s, uint32_t i, uint32_t end, Scope where)
{
    while (i < end) {
        uint32_t k = kind(s, i);
        if (k == ';' || closes(k)) {
            i++;
        } else if (where.in_class && k == K_ACCESS) {
            i += kind(s, i + 1) == ':' ? 2 : 1;
        } else {
            uint32_t next = declaration(s, i, end, where);
            i = next > i ? next : i + 1;
        }
    }
}

void make_components(Scan *s) { scope(s, 0, s->tokens.n - 1, (Scope){-1, 0, false}); }
