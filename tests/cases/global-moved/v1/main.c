// case: a global variable and a function move from one unit to another: the variable stays the living one
// expect: applied|refused
// also: clang-O0
#include "case.h"

int moved = 100;
int bump(void) { return ++moved; }
int other(void);

void step(void) { printf("bump=%d other=%d\n", bump(), other()); }

CASE_MAIN
