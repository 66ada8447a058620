// case: -fsanitize=undefined: mutable data without a name at every check
// expect: applied|refused
// flags: -fsanitize=undefined
// link: -fsanitize=undefined
// also: clang-O0
#include "case.h"

static int count;
static int next(int x) { return x + ++count; }

void step(void) { printf("one %d\n", next(3)); }

CASE_MAIN
