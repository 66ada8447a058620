// case: an edit and its reversal: the old text is running code again, with the state that went on
#include "case.h"

static int n;

void step(void) { printf("two %d\n", ++n); }

CASE_MAIN
