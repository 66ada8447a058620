// case: functions of a library that is on the link line but was not needed (--as-needed dropped libm)
// link: -Wl,--as-needed -lm
// also: gcc-O2
#include "case.h"

double cube_root(double x) { return x / 3; }

void step(void) { printf("%.3f\n", cube_root(27.0)); }

CASE_MAIN
