// case: two functions with a static of the same name change places in the file
#include "case.h"

static int tens(void) {
    static int value = 1000;
    return value += 10;
}

static int ticks(void) {
    static int value = 0;
    return ++value;
}

void step(void) { printf("new ticks=%d\ntens=%d\n", ticks(), tens()); }

CASE_MAIN
