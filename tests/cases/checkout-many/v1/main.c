// case: something like a git checkout: forty units and a header change at once
// copies: unit.c 40
// save: burst
// depfiles: no
#include "case.h"
#include "shared.h"

void step(void) {
    int sum = 0;
    ALL(CALL)
    printf("sum=%d\n", sum);
}

CASE_MAIN
