// case: the new code calls a function that nobody defines; refused, and right after it is there
// expect: refused applied
#include "case.h"

int missing(int x);

void step(void) { puts("calls nothing"); }

CASE_MAIN
