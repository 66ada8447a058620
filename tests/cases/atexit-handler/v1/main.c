// case: exit handlers registered by v1 run the new code at exit, in the right order
// undo: no
// also: clang-O0
#include "case.h"
#include <stdlib.h>

static void first(void) { puts("first one"); }
static void second(void) { puts("second one"); }

void step(void) { puts("step one"); }

int main(void) {
    atexit(first);
    atexit(second);
    while (case_next()) step();
    return 3;
}
