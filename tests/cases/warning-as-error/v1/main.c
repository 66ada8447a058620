// case: a warning that the user's flags make an error fails the reload; the next save is fine
// flags: -Wall -Werror
// expect: failed applied
#include "case.h"

void step(void) { puts("one"); }

CASE_MAIN
