// case: a refused edit, mended by the next save: the whole of both edits is applied, the state of v1 goes on
// expect: refused applied
// expect@clang-O2: applied|refused applied|unchanged
// also: gcc-O2
#include "case.h"

static int table[4] = {1, 2, 3, 4};
static int helper(void) { return 1; }

void step(void) { printf("%d %d\n", table[1]++, helper()); }

CASE_MAIN
