// case: tentative definitions in two units (-fcommon) are one variable before and after
// flags: -fcommon
// also: clang-O2
#include "case.h"

int shared;
int other[4];
void bump(void);

void step(void) {
    bump();
    printf("shared=%d\nother=%d\n", shared, other[2]);
}

CASE_MAIN
