// case: no debug information at all: bound by symbols alone, or refused
// flags: -g0
// expect: applied|refused
// also: clang-O0
#include "case.h"

static int count = 5;
static int next(void) { static int count = 70; return ++count; }

void step(void) { printf("one %d %d\n", ++count, next()); }

CASE_MAIN
