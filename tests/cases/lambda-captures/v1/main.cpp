// case: the captures of a lambda change that nobody keeps
// also: gcc-O2
#include "case.h"

template <typename F> __attribute__((noinline)) static int apply(F f) { return f(2); }

void step(void) {
    int a = 3;
    double b = 0.5;
    (void)b;
    printf("%d\n", apply([a](int x) { return x * a; }));
}

CASE_MAIN
