// case: a default argument in a header changes: callers in two units change, the function does not
// also: gcc-O2 clang-O0
#include "case.h"
#include "greet.h"

void step(void) {
    greet();
    greet("explicit");
    other();
}

CASE_MAIN
