// case: one of two units fails; nothing of that save is applied until the other one is fixed, then both are
#include "case.h"
#include "value.h"
#ifdef BROKEN
#error broken on purpose
#endif

int other(void);

void step(void) { printf("main two, other %d\n", other()); }

CASE_MAIN
