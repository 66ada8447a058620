// case: the body of a static function changes; at -O2 it is inlined into its caller
// functions@O0: scale
// also: gcc-O2 clang-O0 clang-O2
#include "case.h"

static int scale(int x) { return 2 * x; }

void step(void) {
    static int n;
    n++;
    printf("n=%d\nscaled=%d\n", n, scale(n));
}

CASE_MAIN
