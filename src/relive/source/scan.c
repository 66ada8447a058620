/* The exported functions: scan a text, ask for its rows, forget it. */
#include "scan.h"

#include <stdlib.h>

typedef struct {
    const void *rows;
    uint64_t count, size;
} Rows;

static bool fill(Scan *s)
{
    if (setjmp(s->jump)) return false;
    make_tokens(s);
    make_components(s);
    return true;
}

EXPORT void relive_source_close(Scan *s)
{
    free(s->tokens.v);
    free(s->lines.v);
    free(s->markers.v);
    free(s->directives.v);
    free(s->components.v);
    free(s);
}

/* NULL: no memory. The text must not change until the end of the call; the result does not point into it. */
EXPORT Scan *relive_source_scan(const uint8_t *data, uint64_t size, int cplusplus)
{
    Scan *s = size < UINT32_MAX ? calloc(1, sizeof *s) : NULL;
    if (!s) return NULL;
    s->data = data;
    s->size = (uint32_t)size;
    s->cplusplus = cplusplus;
    if (fill(s)) return s;
    relive_source_close(s);
    return NULL;
}

EXPORT void relive_source_rows(const Scan *s, int which, Rows *out)
{
    if (which == 0) *out = (Rows){s->components.v, s->components.n, sizeof(Component)};
    if (which == 1) *out = (Rows){s->markers.v, s->markers.n, sizeof(Marker)};
    if (which == 2) *out = (Rows){s->directives.v, s->directives.n, sizeof(Directive)};
}
