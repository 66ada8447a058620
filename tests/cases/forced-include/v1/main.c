// case: a header that only the command line names (-include) changes
// flags: -include ../src/prefix.h
#include "case.h"

void step(void) { puts(PREFIX); }

CASE_MAIN
