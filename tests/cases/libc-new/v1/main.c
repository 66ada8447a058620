// case: libc functions that the program never imported, called, and used as a pointer
// also: clang-O2
#include "case.h"

void step(void) { puts("plain"); }

CASE_MAIN
