// case: two functions with a static of the same name change places in the file
// also: clang-O0
#include "case.h"

static int ticks(void) {
    static int value = 0;
    return ++value;
}

static int tens(void) {
    static int value = 1000;
    return value += 10;
}

void step(void) { printf("ticks=%d\ntens=%d\n", ticks(), tens()); }

CASE_MAIN
