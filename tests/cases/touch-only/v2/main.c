// case: a file is written with the same content: nothing happens; the next real edit counts
// save: touch
// expect: none applied
#include "case.h"

void step(void) { puts("one"); }

CASE_MAIN
