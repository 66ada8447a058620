// case: weak functions: one is overridden by a strong one and must stay so, one is used, one is undefined and null
// also: clang-O0
#include "case.h"

__attribute__((weak)) const char *overridden(void) { return "weak one"; }
__attribute__((weak)) const char *used(void) { return "weak used one"; }
__attribute__((weak)) void absent(void);

void step(void) { printf("%s\n%s\n%s\n", overridden(), used(), absent ? "present" : "absent"); }

CASE_MAIN
