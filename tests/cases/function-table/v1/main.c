// case: a constant table of functions gets another order and one more row; a mutable table filled by v1 keeps its pointers
// also: clang-O2
// then: kept=plus-two,plus-two,plus-two,plus-two
#include "case.h"

typedef const char *(*op)(void);
static const char *plus(void) { return "plus-one"; }
static const char *minus(void) { return "minus-one"; }
static const op table[] = {plus, minus};
static op chosen;

void step(void) {
    if (!chosen) chosen = table[0];
    printf("kept=%s\n", chosen());
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++) printf("row %s\n", table[i]());
}

CASE_MAIN
