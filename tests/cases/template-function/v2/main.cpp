// case: a function template in a header, instantiated in two units (COMDAT): the one that runs is replaced, with its static
#include "case.h"
#include "scale.h"

int other(void);

void step(void) { printf("%d %.1f other %d\nnew=%.1f\n", scale(2), scale(1.5), other(), scale(2.5f)); }

CASE_MAIN
