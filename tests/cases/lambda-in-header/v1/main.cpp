// case: generic and recursive lambdas, with statics inside, in an inline function of a header that two units use
// also: gcc-O2
#include "case.h"
#include "algo.h"

int other(void);

void step(void) { printf("%d %d\n", run(2), other()); }

CASE_MAIN
