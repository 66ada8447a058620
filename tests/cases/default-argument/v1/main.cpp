// case: a default argument in a header changes: callers in two units change, the function does not
// functions@O0: step other
// also: clang-O0
#include "case.h"
#include "greet.h"

void step(void) {
    greet();
    greet("explicit");
    other();
}

CASE_MAIN
