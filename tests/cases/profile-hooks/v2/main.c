// case: entries prepared by the user's own flags: -fpatchable-function-entry
#include "case.h"

static int count;
static int next(int x) { return x * 2 + ++count; }

void step(void) { printf("two %d\n", next(3)); }

CASE_MAIN
