// case: objects compiled with -flto hold no code: refused, clearly
// expect: refused
// flags: -flto
// link: -flto -O0
// never: clang-O0 clang-O2
#include "case.h"

static int n;

void step(void) { printf("one %d\n", ++n); }

CASE_MAIN
