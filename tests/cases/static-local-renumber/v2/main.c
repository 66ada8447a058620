// case: gcc numbers function-local statics over the unit
#include "case.h"

void inserted(void) {
    static int count = 50;
    printf("fresh=%d\n", ++count);
}

void first(void) {
    static int count = 100;
    printf("first now=%d\n", count++);
}

void second(void) {
    static int count = 5000;
    printf("second=%d\n", count++);
}

void step(void) {
    inserted();
    first();
    second();
}

CASE_MAIN
