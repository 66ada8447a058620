// save: settle
// case: a unit disappears: its function moves into another one, with its file gone from disk and database
// expect: applied|refused
#include "case.h"

int moved(void);

void step(void) { printf("moved=%d\n", moved()); }

CASE_MAIN
