// case: a constant table of functions gets another order and one more row; a mutable table filled by v1 keeps its pointers
// then@clang-O2: kept=plus-one,plus-one,plus-one,plus-one
// (clang -O2 inlines plus everywhere in v2: there is no new body that the kept pointer could run)
// also: clang-O2
// then: kept=plus-two,plus-two,plus-two,plus-two
#include "case.h"

typedef const char *(*op)(void);
static const char *plus(void) { return "plus-one"; }
static const char *minus(void) { return "minus-one"; }
static const op table[] = {plus, minus};
static volatile op chosen; // else clang -O2 makes a boolean of it: "is it table[0]?"

void step(void) {
    if (!chosen) chosen = table[0];
    printf("kept=%s\n", chosen());
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++) printf("row %s\n", table[i]());
}

CASE_MAIN
