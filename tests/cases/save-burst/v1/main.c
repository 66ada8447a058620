// case: four saves within milliseconds: the last one wins
// save: burst
// also: clang-O0
#include "case.h"

void step(void) { puts("version 1"); }

CASE_MAIN
