// case: a static variable gets another type of the same size: refused
// expect: refused:variable-retyped
// also: gcc-O2
#include "case.h"

static int level = 3;

void step(void) { printf("level=%.1f\n", (double)(level += 1) / 2); }

CASE_MAIN
