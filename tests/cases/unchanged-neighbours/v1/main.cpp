// case: lines shift and asserts change __LINE__; functions that use it change, the statics of all others stay
// functions@O0: line
// also: gcc-O2
#include "case.h"

static int line() { return __LINE__; }
static int calls() { static int n; return ++n; }

void step(void) { printf("line=%d calls=%d\n", line(), calls()); }

CASE_MAIN
