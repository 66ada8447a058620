// case: new function-local statics with constructors, one inside a template and one behind a condition
// also: gcc-O2
// undo: no
#include "case.h"
#include <string>

void step(void) {
    static int n;
    printf("n=%d\n", ++n);
}

CASE_MAIN
