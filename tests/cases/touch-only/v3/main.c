// case: a file is written with the same content: nothing happens; the next real edit counts
#include "case.h"

void step(void) { puts("two"); }

CASE_MAIN
