// case: the new code calls a function that nobody defines; refused, and right after it is there
#include "case.h"

int missing(int x) { return x * 7; }

void step(void) { printf("missing=%d\n", missing(3)); }

CASE_MAIN
