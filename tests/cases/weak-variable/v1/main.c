// case: a weak variable with a strong definition elsewhere; the new code of the weak unit writes to the strong one
// also: clang-O0
// then: level=71,72,73,74
// undone: level=74,74
#include "case.h"

__attribute__((weak)) int level = 1;

void step(void) { printf("level=%d\n", level); }

CASE_MAIN
