// case: a global function in a header gets a parameter before the others; callers in two units, by call and by pointer
// also: clang-O2
#include "case.h"
#include "scale.h"

static int (*by_pointer)(int) = scale;

void step(void) { printf("main %d %d %d\n", scale(2), by_pointer(3), other(4)); }

CASE_MAIN
