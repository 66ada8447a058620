// case: a static variable is renamed: that is a new variable with its own initial value; the type of another one is only renamed
// expect: applied|refused
// then: n=51,52,53,54
// undone: n=3,4
#include "case.h"

typedef int number;
static int counter = 0;
static number same = 7;

void step(void) { printf("n=%d\nsame=%d\n", ++counter, same++); }

CASE_MAIN
