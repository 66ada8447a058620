// case: a source file that includes another source file; the included one changes
#include "case.h"
#include "part.inc"

void step(void) { printf("part=%d\n", part(2)); }

CASE_MAIN
