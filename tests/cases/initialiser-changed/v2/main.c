// case: a changed initialiser of a mutable variable keeps the live value, and says so
#include "case.h"

int speed = 300;

void step(void) {
    static int local = 77;
    if (speed == 3) speed = 5;
    printf("speed=%d\nlocal=%d\ntext two\n", speed, ++local);
}

CASE_MAIN
