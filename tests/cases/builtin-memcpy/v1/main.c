// case: calls that the compiler itself makes up (memcpy, memset, strlen as IFUNCs) for big structs and loops
// also: gcc-O2
#include "case.h"

struct large { char text[600]; int n; };
static struct large store;

void step(void) { printf("n=%d\n", ++store.n); }

CASE_MAIN
