// case: calls that the compiler itself makes up (memcpy, memset, strlen as IFUNCs) for big structs and loops
// expect@clang-O2: applied|refused:variable-reduced
// also: gcc-O2
#include "case.h"

struct large { char text[600]; int n; };
static struct large store;

void step(void) { printf("n=%d\n", ++store.n); }

CASE_MAIN
