// case: a warning that the user's flags make an error fails the reload; the next save is fine
#include "case.h"

void step(void) { int unused; puts("two"); }

CASE_MAIN
