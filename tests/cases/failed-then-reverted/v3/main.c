// case: an edit that does not compile is taken back: nothing is left to do, nothing failed is queued any more
#include "case.h"

void step(void) { puts("one"); }

CASE_MAIN
