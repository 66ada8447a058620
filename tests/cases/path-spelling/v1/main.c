// case: a header reached through several spellings of its path (.., ., double slash) is one file
#include "case.h"
#include "sub/../inc/.//value.h"

int other(void);

void step(void) { printf("%d %d\n", VALUE, other()); }

CASE_MAIN
