// case: a mutable static table of label addresses, as older interpreters have it
#include "case.h"

int interpret(int op) {
    static void *labels[2] = {&&one, &&two};
    goto *labels[op];
one:
    puts("one"); return 10;
two:
    return 2;
}

void step(void) { printf("%d %d\n", interpret(0), interpret(1)); }

CASE_MAIN
