// case: one source is compiled three times with other macros; each entry is a unit of its own
// entries: unit.c: -DNAME=red -DSTART=100 | -DNAME=green -DSTART=200 | -DNAME=blue -DSTART=300
// also: clang-O0
#include "case.h"

int red(void);
int green(void);
int blue(void);

void step(void) { printf("%d %d %d\n", red(), green(), blue()); }

CASE_MAIN
