// case: a static variable is renamed: that is a new variable with its own initial value; the type of another one is only renamed
#include "case.h"

typedef int number;
static int tally = 50;
static int same = 7;

void step(void) { printf("n=%d\nsame now=%d\n", ++tally, same++); }

CASE_MAIN
