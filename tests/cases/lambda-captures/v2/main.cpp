// case: the captures of a lambda change that nobody keeps
#include "case.h"

template <typename F> __attribute__((noinline)) static int apply(F f) { return f(2); }

void step(void) {
    int a = 3;
    double b = 0.5;
    (void)b;
    printf("%d\n", apply([a, b, this_one = 7L](int x) { return static_cast<int>(x * a * b) + static_cast<int>(this_one); }));
}

CASE_MAIN
