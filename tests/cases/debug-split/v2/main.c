// case: split debug information (.dwo beside the object) in the user's build
#include "case.h"

static int next(void) { static int count = 70; return ++count; }

void step(void) { printf("two %d\n", next()); }

CASE_MAIN
