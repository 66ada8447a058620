// case: a static_assert fails in one unit of two; the program runs on; then it holds again
// expect: failed applied
#include "case.h"
#include "size.h"

int other(void);

void step(void) { printf("%d %d\n", SIZE, other()); }

CASE_MAIN
