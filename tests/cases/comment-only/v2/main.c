// case: only a comment and white space change: unchanged; then a real edit
#include "case.h"

/* a new comment,
   of two lines */

void   step(void) { puts("one"); }

CASE_MAIN
