// case: destructors at exit run in the reverse order of construction, those of old objects with the new code
// also: gcc-O2
// undo: no
#include "case.h"

struct Loud {
    int n;
    explicit Loud(int x) : n(x) {}
    ~Loud() { printf("gone %d one\n", n); }
};

static Loud a(1);
Loud b(2);
static Loud &lazy() { static Loud c(3); return c; }

void step(void) {
    lazy().n += 10;
    printf("lazy %d\n", lazy().n);
}

CASE_MAIN
