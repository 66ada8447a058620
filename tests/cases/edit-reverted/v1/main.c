// case: an edit and its reversal: the old text is running code again, with the state that went on
// also: clang-O0
#include "case.h"

static int n;

void step(void) { printf("one %d\n", ++n); }

CASE_MAIN
