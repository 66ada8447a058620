// case: a static inline function with a static variable in a header; each unit has its own, both keep theirs
// also: clang-O0
#include "case.h"
#include "util.h"

void other(void);

void step(void) {
    printf("main %d\n", next());
    other();
}

CASE_MAIN
