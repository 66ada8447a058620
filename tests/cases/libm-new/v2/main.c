// case: functions of a library that is on the link line but was not needed (--as-needed dropped libm)
#include "case.h"
#include <math.h>

double cube_root(double x) { return cbrt(x) + floor(hypot(x, 1)) + fmod(x, 4); }

void step(void) { printf("%.3f\n", cube_root(27.0)); }

CASE_MAIN
