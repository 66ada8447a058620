// case: a header that is included for the first time during the session counts from then on
// also: clang-O0
#include "case.h"

void step(void) { puts("plain"); }

CASE_MAIN
