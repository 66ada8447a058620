// case: four saves within milliseconds: the last one wins
#include "case.h"

void step(void) { puts("the last version"); }

CASE_MAIN
