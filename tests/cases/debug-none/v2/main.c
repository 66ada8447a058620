// case: no debug information at all: bound by symbols alone, or refused
#include "case.h"

static int count = 5;
static int next(void) { static int count = 70; return ++count; }

void step(void) { printf("two %d %d\n", ++count, next()); }

CASE_MAIN
