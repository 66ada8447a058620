// case: six reloads in a row of the same functions: each finds the state and the newest code
#include "case.h"

static int total;
static int add(int x) { return total += x; }

void step(void) {
    static int calls;
    printf("v3 %d %d\n", add(1), ++calls);
}

CASE_MAIN
