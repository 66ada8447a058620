// case: a function is gone from the source, but a pointer that v1 stored still calls it (at -O2 v2 is compiled without the variable: nobody assigns it)
// never: gcc-O2 clang-O2
// undone: kept=10,12
// also: clang-O0
// then: kept=5,6,7,8
#include "case.h"

static int uses;
static int (*kept)(void);
static int old_one(void) { return ++uses; }

void step(void) {
    if (!kept) kept = old_one;
    old_one();
    printf("kept=%d\n", kept());
}

CASE_MAIN
