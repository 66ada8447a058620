// case: four saves within milliseconds: the last one wins
#include "case.h"

void step(void) { puts("version 4"); }

CASE_MAIN
