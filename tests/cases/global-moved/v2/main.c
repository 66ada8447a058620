// case: a global variable and a function move from one unit to another: the variable stays the living one
#include "case.h"

extern int moved;
int bump(void);
int other(void);

void step(void) { printf("bump=%d other=%d\n", bump(), other()); }

CASE_MAIN
