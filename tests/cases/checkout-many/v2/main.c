// case: something like a git checkout: forty units and a header change at once
#include "case.h"
#include "shared.h"

void step(void) {
    int sum = 0;
    ALL(CALL)
    printf("new sum=%d\n", sum);
}

CASE_MAIN
