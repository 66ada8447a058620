// case: a new unit with a constructor function and variables with initial values appears
#include "case.h"

void step(void) { extern int registered; printf("registered=%d\n", registered); }

CASE_MAIN
