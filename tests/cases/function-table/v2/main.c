// case: a constant table of functions
#include "case.h"

typedef const char *(*op)(void);
static const char *times(void) { return "times-two"; }
static const char *plus(void) { return "plus-two"; }
static const char *minus(void) { return "minus-one"; }
static const op table[] = {minus, times, plus};
static volatile op chosen; // else clang -O2 makes a boolean of it: "is it table[0]?"

void step(void) {
    if (!chosen) chosen = table[0];
    printf("kept=%s\n", chosen());
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++) printf("row %s\n", table[i]());
}

CASE_MAIN
