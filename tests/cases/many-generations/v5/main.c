// case: six reloads in a row of the same functions: each finds the state and the newest code
#include "case.h"

static int total; static int later = 7;
static int add(int x) { return total += x; }

void step(void) {
    static int calls;
    printf("v5 %d %d\n", add(1), ++calls + later++ - later + 1);
}

CASE_MAIN
