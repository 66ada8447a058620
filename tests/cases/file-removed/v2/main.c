// case: a unit disappears: its function moves into another one, with its file gone from disk and database
#include "case.h"

int moved(void) { return 2; }

void step(void) { printf("moved=%d\n", moved()); }

CASE_MAIN
