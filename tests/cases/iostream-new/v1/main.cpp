// case: a unit that never saw <iostream> uses std::cout, manipulators and stringstream
// also: gcc-O2 clang-O0 clang-O2
#include "case.h"

void step(void) { puts("plain"); }

CASE_MAIN
