// case: gcc numbers function-local statics over the unit (count.0, count.1); one inserted before shifts them all
// also: gcc-O2
// then: fresh=51,52,53,54
#include "case.h"

void first(void) {
    static int count = 100;
    printf("first=%d\n", count++);
}

void second(void) {
    static int count = 5000;
    printf("second=%d\n", count++);
}

void step(void) {
    first();
    second();
}

CASE_MAIN
