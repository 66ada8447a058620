// case: only a comment and white space change: unchanged; then a real edit
// expect: unchanged applied
// also: clang-O0
#include "case.h"

void step(void) { puts("one"); }

CASE_MAIN
