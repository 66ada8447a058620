// case: entries prepared by the user's own flags: -fpatchable-function-entry
// flags: -fpatchable-function-entry=7,5
// also: clang-O0
#include "case.h"

static int count;
static int next(int x) { return x + ++count; }

void step(void) { printf("one %d\n", next(3)); }

CASE_MAIN
