// case: constant and mutable function-local statics of one name; a constant is inserted before, a mutable one becomes constant
// also: clang-O0
#include "case.h"

static int sum(void) {
    static const int table[4] = {1, 2, 3, 4};
    return table[0] + table[3];
}

static int live(void) {
    static int table[4] = {10, 20, 30, 40};
    return table[1]++;
}

void step(void) { printf("sum=%d live=%d\n", sum(), live()); }

CASE_MAIN
