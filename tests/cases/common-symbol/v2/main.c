// case: tentative definitions in two units (-fcommon) are one variable before and after
#include "case.h"

int shared;
int other[4];
void bump(void);

void step(void) {
    bump(); other[1] = shared;
    printf("common shared=%d\nother=%d\n", shared, other[2] + 1000 * (other[1] == shared));
}

CASE_MAIN
