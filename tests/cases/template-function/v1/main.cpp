// case: a function template in a header, instantiated in two units (COMDAT): the one that runs is replaced, with its static
// then: new=249.0,248.0,247.0,246.0
// also: clang-O2
#include "case.h"
#include "scale.h"

int other(void);

void step(void) { printf("%d %.1f other %d\n", scale(2), scale(1.5), other()); }

CASE_MAIN
