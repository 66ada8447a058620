/* Tokens, directives and line markers of preprocessed text, and which bracket closes which.
 *
 * The compiler has split the text before us, so what is lexed here is well formed where it matters; anything else must
 * only not crash.  `>>` comes as two tokens, as it may close two template argument lists. */
#include "scan.h"

#include <stdlib.h>
#include <string.h>

void *grow(Scan *s, void *table, uint32_t *room, size_t size)
{
    uint32_t more = *room ? *room * 2 : 1024;
    void *new = more > *room ? realloc(table, more * size) : NULL;
    if (!new) longjmp(s->jump, 1);
    *room = more;
    return new;
}

enum Class { X_OTHER, X_SPACE, X_LINE, X_WORD, X_DIGIT };

static const uint8_t CLASS[256] = {
    [' '] = X_SPACE,  ['\t'] = X_SPACE,       ['\v'] = X_SPACE,        ['\f'] = X_SPACE,
    ['\r'] = X_SPACE, ['\n'] = X_LINE,        ['0' ... '9'] = X_DIGIT, ['_'] = X_WORD,
    ['$'] = X_WORD,   ['a' ... 'z'] = X_WORD, ['A' ... 'Z'] = X_WORD,  [0x80 ... 0xff] = X_WORD,
};

/* ---- keywords ---- */
typedef struct {
    const char *word;
    uint8_t kind;
    bool cplusplus;
} Keyword;

static const Keyword KEYWORDS[] = {
    {"_Alignas", K_ALIGNAS, false},
    {"_Atomic", K_TYPE, false},
    {"_Bool", K_TYPE, false},
    {"_Complex", K_TYPE, false},
    {"_Noreturn", K_EXTENSION, false},
    {"_Static_assert", K_STATIC_ASSERT, false},
    {"_Thread_local", K_EXTENSION, false},
    {"__alignas", K_ALIGNAS, false},
    {"__asm", K_ASM, false},
    {"__asm__", K_ASM, false},
    {"__attribute", K_ATTRIBUTE, false},
    {"__attribute__", K_ATTRIBUTE, false},
    {"__auto_type", K_AUTO, false},
    {"__const", K_CONST, false},
    {"__const__", K_CONST, false},
    {"__declspec", K_ATTRIBUTE, false},
    {"__decltype", K_DECLTYPE, true},
    {"__extension__", K_EXTENSION, false},
    {"__inline", K_INLINE, false},
    {"__inline__", K_INLINE, false},
    {"__restrict", K_CONST, false},
    {"__restrict__", K_CONST, false},
    {"__signed__", K_TYPE, false},
    {"__thread", K_EXTENSION, false},
    {"__typeof", K_DECLTYPE, false},
    {"__typeof__", K_DECLTYPE, false},
    {"__volatile", K_CONST, false},
    {"__volatile__", K_CONST, false},
    {"alignas", K_ALIGNAS, true},
    {"asm", K_ASM, false},
    {"auto", K_AUTO, true},
    {"bool", K_TYPE, true},
    {"catch", K_CATCH, true},
    {"char", K_TYPE, false},
    {"char16_t", K_TYPE, true},
    {"char32_t", K_TYPE, true},
    {"char8_t", K_TYPE, true},
    {"class", K_CLASS, true},
    {"concept", K_CONCEPT, true},
    {"const", K_CONST, false},
    {"consteval", K_CONSTEXPR, true},
    {"constexpr", K_CONSTEXPR, true},
    {"constinit", K_CONSTEXPR, true},
    {"decltype", K_DECLTYPE, true},
    {"default", K_DEFAULT, false},
    {"delete", K_DELETE, true},
    {"double", K_TYPE, false},
    {"enum", K_ENUM, false},
    {"explicit", K_EXPLICIT, true},
    {"extern", K_EXTERN, false},
    {"float", K_TYPE, false},
    {"friend", K_FRIEND, true},
    {"inline", K_INLINE, false},
    {"int", K_TYPE, false},
    {"long", K_TYPE, false},
    {"mutable", K_EXTENSION, true},
    {"namespace", K_NAMESPACE, true},
    {"noexcept", K_NOEXCEPT, true},
    {"operator", K_OPERATOR_NAME, true},
    {"private", K_ACCESS, true},
    {"protected", K_ACCESS, true},
    {"public", K_ACCESS, true},
    {"register", K_EXTENSION, false},
    {"requires", K_REQUIRES, true},
    {"restrict", K_CONST, false},
    {"short", K_TYPE, false},
    {"signed", K_TYPE, false},
    {"static", K_STATIC, false},
    {"static_assert", K_STATIC_ASSERT, true},
    {"struct", K_CLASS, false},
    {"template", K_TEMPLATE, true},
    {"thread_local", K_EXTENSION, true},
    {"throw", K_NOEXCEPT, true},
    {"try", K_TRY, true},
    {"typedef", K_TYPEDEF, false},
    {"typename", K_EXTENSION, true},
    {"typeof", K_DECLTYPE, false},
    {"union", K_CLASS, false},
    {"unsigned", K_TYPE, false},
    {"using", K_USING, true},
    {"virtual", K_EXTENSION, true},
    {"void", K_TYPE, false},
    {"volatile", K_CONST, false},
    {"wchar_t", K_TYPE, true},
};

/* First letter -> its keywords: most words have no keyword to be compared with. */
typedef struct {
    uint8_t first[256], count[256];
} Letters;

static void index_keywords(Letters *letters)
{
    memset(letters, 0, sizeof *letters);
    for (size_t k = sizeof KEYWORDS / sizeof *KEYWORDS; k-- > 0;) {
        uint8_t c = (uint8_t)KEYWORDS[k].word[0];
        letters->first[c] = (uint8_t)k;
        letters->count[c]++;
    }
}

static uint32_t word_kind(const Scan *s, const Letters *letters, const uint8_t *p, size_t n)
{
    uint8_t first = letters->first[*p], count = letters->count[*p];
    for (uint8_t k = first; k < first + count; k++) {
        const Keyword *keyword = &KEYWORDS[k];
        if (!strncmp(keyword->word, (const char *)p, n) && !keyword->word[n])
            return keyword->cplusplus && !s->cplusplus ? T_ID : keyword->kind;
    }
    return T_ID;
}

/* ---- directives ---- */
static const uint8_t *blanks(const uint8_t *p, const uint8_t *end)
{
    while (p < end && CLASS[*p] == X_SPACE) p++;
    return p;
}

static const uint8_t *word_end(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (CLASS[*p] == X_WORD || CLASS[*p] == X_DIGIT)) p++;
    return p;
}

static bool marker(Scan *s, const uint8_t *start, const uint8_t *p, const uint8_t *end, uint32_t line)
{
    uint32_t number = 0;
    while (p < end && CLASS[*p] == X_DIGIT) number = number * 10 + (uint32_t)(*p++ - '0');
    p = blanks(p, end);
    if (p == end || *p != '"') return false;
    const uint8_t *name = ++p;
    while (p < end && *p != '"') p += *p == '\\' && p + 1 < end ? 2 : 1;
    if (p == end) return false;
    bool system = false;
    for (const uint8_t *flag = p; flag < end; flag++) system |= *flag == '3';
    Marker *m = PUSH(s, s->markers);
    *m = (Marker){(uint32_t)(start - s->data),
                  (uint32_t)(end - s->data),
                  (uint32_t)(name - s->data),
                  (uint32_t)(p - s->data),
                  number,
                  system};
    *PUSH(s, s->lines) = line;
    return true;
}

/* `start` is at the '#'; returns the end of the line (its line break, or the end of the text). */
static const uint8_t *directive(Scan *s, const uint8_t *start, uint32_t *line)
{
    const uint8_t *limit = s->data + s->size, *end = start;
    uint32_t first = *line;
    for (;;) {
        const uint8_t *stop = memchr(end, '\n', (size_t)(limit - end));
        end = stop ? stop : limit;
        if (end == limit || end[-1] != '\\') break;
        (*line)++;
        end++;
    }
    const uint8_t *p = blanks(start + 1, end), *word = p;
    if (p < end && CLASS[*p] == X_DIGIT) {
        if (marker(s, start, p, end, first)) return end;
    }
    p = word_end(p, end);
    size_t n = (size_t)(p - word);
    if (n == 4 && !memcmp(word, "line", 4) && marker(s, start, blanks(p, end), end, first)) return end;
    const uint8_t *name = blanks(p, end), *name_end = word_end(name, end);
    Directive *d = PUSH(s, s->directives);
    *d = (Directive){(uint32_t)(start - s->data), (uint32_t)(end - s->data), (uint32_t)(name - s->data),
                     (uint32_t)(name_end - s->data), D_OTHER};
    if (n == 6 && !memcmp(word, "define", 6)) d->kind = D_DEFINE;
    if (n == 5 && !memcmp(word, "undef", 5)) d->kind = D_UNDEF;
    if (n == 6 && !memcmp(word, "pragma", 6)) d->kind = D_PRAGMA;
    return end;
}

/* ---- literals ---- */
static const uint8_t *quoted(const uint8_t *p, const uint8_t *limit)
{
    uint8_t quote = *p++;
    while (p < limit && *p != quote && *p != '\n') p += *p == '\\' && p + 1 < limit ? 2 : 1;
    return p < limit && *p == quote ? p + 1 : p;
}

/* R"x( ... )x": `p` is at the quote. */
static const uint8_t *raw_string(const uint8_t *p, const uint8_t *limit, uint32_t *line)
{
    const uint8_t *delimiter = p + 1, *open = delimiter;
    while (open < limit && open - delimiter <= 16 && *open != '(') open++;
    if (open == limit || *open != '(') return quoted(p, limit);
    size_t n = (size_t)(open - delimiter);
    for (p = open + 1; p < limit; p++) {
        if (*p == '\n') (*line)++;
        if (*p == ')' && (size_t)(limit - p) > n + 1 && !memcmp(p + 1, delimiter, n) && p[n + 1] == '"')
            return p + n + 2;
    }
    return limit;
}

static bool is_prefix(const uint8_t *p, size_t n, bool raw)
{
    static const char *const plain[] = {"L", "u", "U", "u8"}, *const raws[] = {"R", "LR", "uR", "UR", "u8R"};
    for (size_t i = 0; i < (raw ? 5 : 4); i++) {
        const char *prefix = raw ? raws[i] : plain[i];
        if (strlen(prefix) == n && !memcmp(prefix, p, n)) return true;
    }
    return false;
}

static const uint8_t *number(const Scan *s, const uint8_t *p, const uint8_t *limit)
{
    for (; p < limit; p++) {
        uint8_t c = *p, before = p[-1] | 0x20;
        bool exponent = (c == '+' || c == '-') && (before == 'e' || before == 'p');
        bool separator = c == '\'' && s->cplusplus && p + 1 < limit && word_end(p + 1, limit) > p + 1;
        if (CLASS[c] != X_WORD && CLASS[c] != X_DIGIT && c != '.' && !exponent && !separator) break;
    }
    return p;
}

/* ---- punctuation ---- */
static uint32_t punctuation(const Scan *s, const uint8_t *p, const uint8_t *limit, uint32_t *length)
{
    uint8_t c = *p, d = p + 1 < limit ? p[1] : 0, e = p + 2 < limit ? p[2] : 0;
    *length = 2;
    if (c == ':' && d == ':') return T_SCOPE;
    if (c == '-' && d == '>') return T_ARROW;
    if (c == '<' && d == '%') return '{';
    if (c == '%' && d == '>') return '}';
    if (c == ':' && d == '>') return ']';
    if (c == '<' && d == ':' && !(s->cplusplus && e == ':')) return '[';
    *length = 3;
    if ((c == '<' && d == '=' && e == '>') || (c == '.' && d == '.' && e == '.')) return T_OPERATOR;
    if ((c == '<' && d == '<' && e == '=') || (c == '>' && d == '>' && e == '=')) return T_OPERATOR;
    *length = 2;
    if (d == '=' && c && strchr("=!<>+-*/%&|^", c)) return T_OPERATOR;
    if (c == d && c && strchr("<&|+-", c)) return T_OPERATOR;
    *length = 1;
    return c;
}

static uint32_t closing(uint32_t open) { return open == '(' ? ')' : open == '[' ? ']' : '}'; }

/* Links brackets.  A closing bracket that fits an outer one closes what is open inside of that, too. */
static void match_brackets(Scan *s)
{
    TABLE(uint32_t) open = {0};
    for (uint32_t i = 0; i < s->tokens.n; i++) {
        Token *t = &s->tokens.v[i];
        t->match = s->tokens.n - 1;
        if (t->kind == '(' || t->kind == '[' || t->kind == '{') {
            if (open.n == open.room) {
                uint32_t *more = realloc(open.v, (open.room ? open.room * 2 : 256) * sizeof *more);
                if (!more) {
                    free(open.v);
                    longjmp(s->jump, 1);
                }
                open.v = more;
                open.room = open.room ? open.room * 2 : 256;
            }
            open.v[open.n++] = i;
        } else if (t->kind == ')' || t->kind == ']' || t->kind == '}') {
            uint32_t k = open.n;
            /* A brace outweighs what is inside of it; a stray parenthesis closes nothing beyond its braces. */
            while (k > 0 && closing(s->tokens.v[open.v[k - 1]].kind) != t->kind &&
                   (t->kind == '}' || s->tokens.v[open.v[k - 1]].kind != '{'))
                k--;
            if (k > 0 && closing(s->tokens.v[open.v[k - 1]].kind) == t->kind) {
                open.n = k - 1;
                t->match = open.v[open.n];
                s->tokens.v[open.v[open.n]].match = i;
            }
        }
    }
    free(open.v);
}

/* ---- the walk ---- */
static const uint8_t *comment(const uint8_t *p, const uint8_t *limit, uint32_t *line)
{
    bool block = p[1] == '*';
    for (p += 2; p < limit; p++) {
        if (*p == '\n') {
            if (!block) return p;
            (*line)++;
        }
        if (block && *p == '*' && p + 1 < limit && p[1] == '/') return p + 2;
    }
    return p;
}

static void add(Scan *s, uint32_t kind, const uint8_t *start, const uint8_t *end, uint32_t line)
{
    *PUSH(s, s->tokens) = (Token){(uint32_t)(start - s->data), (uint32_t)(end - s->data), line, s->markers.n, 0, kind};
}

void make_tokens(Scan *s)
{
    Letters letters;
    index_keywords(&letters);
    const uint8_t *p = s->data, *limit = p + s->size;
    uint32_t line = 0;
    bool fresh = true; /* nothing but white space on this line yet */
    while (p < limit) {
        const uint8_t *start = p;
        uint32_t began = line, kind = CLASS[*p];
        if (kind == X_LINE || kind == X_SPACE) {
            if (kind == X_LINE) line++;
            fresh |= kind == X_LINE;
            p++;
            continue;
        }
        if (*p == '#' && fresh) {
            p = directive(s, p, &line);
            continue;
        }
        if (*p == '\\' && p + 1 < limit && (p[1] == '\n' || p[1] == '\r')) {
            p++; /* a spliced line: the line break counts, but does not begin a line */
            p += *p == '\r' && p + 1 < limit && p[1] == '\n';
            line += *p == '\n';
            p++;
            continue;
        }
        if (*p == '/' && p + 1 < limit && (p[1] == '/' || p[1] == '*')) {
            p = comment(p, limit, &line);
            continue;
        }
        fresh = false;
        if (kind == X_WORD) {
            p = word_end(p, limit);
            size_t n = (size_t)(p - start);
            bool literal = p < limit && (*p == '"' || *p == '\'') && n <= 3;
            if (literal && *p == '"' && is_prefix(start, n, true)) {
                p = word_end(raw_string(p, limit, &line), limit);
                kind = T_STRING;
            } else if (literal && is_prefix(start, n, false)) {
                kind = *p == '"' ? T_STRING : T_CHAR;
                p = word_end(quoted(p, limit), limit);
            } else {
                kind = word_kind(s, &letters, start, n);
            }
        } else if (kind == X_DIGIT || (*p == '.' && p + 1 < limit && CLASS[p[1]] == X_DIGIT)) {
            p = number(s, p + 1, limit);
            kind = T_NUMBER;
        } else if (*p == '"' || *p == '\'') {
            kind = *p == '"' ? T_STRING : T_CHAR;
            p = word_end(quoted(p, limit), limit);
        } else {
            uint32_t length;
            kind = punctuation(s, p, limit, &length);
            p += length;
        }
        add(s, kind, start, p, began);
    }
    add(s, T_END, limit, limit, line);
    match_brackets(s);
}
