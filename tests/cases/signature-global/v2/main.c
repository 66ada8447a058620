// case: a global function in a header gets a parameter before the others; callers in two units, by call and by pointer
#include "case.h"
#include "scale.h"

static int through(int x) { return scale(7, x); }
static int (*renamed)(int) = through;

void step(void) { printf("main %d %d %d\n", scale(1000, 2), renamed(3), other(4)); }

CASE_MAIN
