// case: a macro in a header changes, seen by two units through another header
// also: clang-O0
#include "case.h"
#include "api.h"

void step(void) {
    printf("main %d %s\n", LIMIT(3), NAME);
    other();
}

CASE_MAIN
