// case: -fsanitize=undefined: mutable data without a name at every check
#include "case.h"

static int count;
static int next(int x) { return x * 2 + ++count; }

void step(void) { printf("two %d\n", next(3)); }

CASE_MAIN
