// case: a static array grows: refused
// expect: refused:variable-resized
// expect@clang-O2: refused:variable-resized|refused:variable-reduced
// also: clang-O0
#include "case.h"

static int table[4] = {1, 2, 3, 4};

void step(void) {
    int sum = 0;
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++) sum += table[i]++;
    printf("sum=%d\n", sum);
}

CASE_MAIN
