// case: a function is gone from the source
#include "case.h"

static int uses;
static int (*kept)(void);

void step(void) { printf("kept=%d\nuses kept\n", kept ? kept() : (uses = 0)); }

CASE_MAIN
