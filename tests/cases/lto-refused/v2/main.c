// case: objects compiled with -flto hold no code: refused, clearly
#include "case.h"

static int n;

void step(void) { printf("two %d\n", ++n); }

CASE_MAIN
