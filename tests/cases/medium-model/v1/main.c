// case: medium code model: big arrays in .lbss and .ldata beyond 32 bits (right or refused)
// expect: applied|refused
// flags: -mcmodel=medium
// also: clang-O0
#include "case.h"

static char big[200000];
static int large[100000] = {5};

void step(void) {
    big[150000]++;
    printf("big=%d large=%d\n", big[150000], large[0]++);
}

CASE_MAIN
