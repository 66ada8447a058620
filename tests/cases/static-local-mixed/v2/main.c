// case: constant and mutable function-local statics of one name; a constant is inserted before, a mutable one becomes constant
#include "case.h"

static int extra(void) {
    static const int table[4] = {100, 200, 300, 400};
    return table[2];
}

static int sum(void) {
    static const int table[4] = {1, 2, 3, 4};
    return table[0] + table[3];
}

static int live(void) {
    static int table[4] = {10, 20, 30, 40};
    return table[1]++;
}

void step(void) { printf("extra=%d sum=%d live=%d\n", extra(), sum(), live()); }

CASE_MAIN
