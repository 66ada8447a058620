// case: a unit that never saw <iostream> uses std::cout, manipulators and stringstream
// also: clang-O2
#include "case.h"

void step(void) { puts("plain"); }

CASE_MAIN
