// case: one of two units fails; nothing of that save is applied until the other one is fixed, then both are
// expect: failed applied
#include "case.h"

int other(void);

void step(void) { printf("main one, other %d\n", other()); }

CASE_MAIN
