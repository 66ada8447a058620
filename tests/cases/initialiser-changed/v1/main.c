// case: a changed initialiser of a mutable variable keeps the live value, and says so
// also: gcc-O2
// then: speed=5,5,5,5 local=5,6,7,8
// notes: speed
#include "case.h"

int speed = 3;

void step(void) {
    static int local = 2;
    if (speed == 3) speed = 5;
    printf("speed=%d\nlocal=%d\ntext one\n", speed, ++local);
}

CASE_MAIN
