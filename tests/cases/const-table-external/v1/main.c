// case: a constant table with external linkage that another, unchanged unit reads
// expect: applied|refused
// also: gcc-O2
#include "case.h"

extern const int limits[3];

void step(void) { printf("%d %d %d\n", limits[0], limits[1], limits[2]); }

CASE_MAIN
