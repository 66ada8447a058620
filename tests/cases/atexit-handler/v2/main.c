// case: exit handlers registered by v1 run the new code at exit, in the right order
#include "case.h"
#include <stdlib.h>

static void first(void) { puts("first two"); }
static void second(void) { puts("second two"); }

void step(void) { puts("step two"); }

int main(void) {
    atexit(first);
    atexit(second);
    while (case_next()) step();
    return 3;
}
