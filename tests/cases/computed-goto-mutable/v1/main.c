// case: a mutable static table of label addresses, as older interpreters have it
// expect: applied|refused
// also: gcc-O2
#include "case.h"

int interpret(int op) {
    static void *labels[2] = {&&one, &&two};
    goto *labels[op];
one:
    return 1;
two:
    return 2;
}

void step(void) { printf("%d %d\n", interpret(0), interpret(1)); }

CASE_MAIN
