// case: an inline function and an inline method in a header, used by three units, with one static for all
// also: clang-O2
#include "case.h"
#include "common.h"

void step(void) { printf("%d %d %d %d\n", ticket(), second(), third(), Meter().read()); }

CASE_MAIN
