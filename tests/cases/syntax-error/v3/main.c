// case: an edit that does not compile, then its fix: the program runs on in between
#include "case.h"

void step(void) {
    static int n;
    printf("n=%d\n", ++n * 10);
}

CASE_MAIN
