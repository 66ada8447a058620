// case: no unwind tables, no frame pointers, one entry without endbr64
// flags: -fno-asynchronous-unwind-tables -fno-unwind-tables -fomit-frame-pointer -fcf-protection=none
// also: gcc-O2
#include "case.h"

static int count;
static int next(int x) { return x + ++count; }

void step(void) { printf("one %d\n", next(3)); }

CASE_MAIN
