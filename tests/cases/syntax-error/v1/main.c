// case: an edit that does not compile, then its fix: the program runs on in between
// functions@O0: step
// expect: failed applied
// also: clang-O0
#include "case.h"

void step(void) {
    static int n;
    printf("n=%d\n", ++n);
}

CASE_MAIN
