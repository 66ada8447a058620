// case: a new unit with a constructor function and variables with initial values appears
// expect: applied|refused
#include "case.h"

void step(void) { puts("nothing registered"); }

CASE_MAIN
