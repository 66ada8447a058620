// case: compressed debug sections, and macros in them
#include "case.h"

static int early(void) { static int count = 7; return count; }
static int next(void) { static int count = 70; return ++count; }
static int other(void) { static int count = 700; return ++count; }

void step(void) { printf("two %d %d %d\n", next(), other(), early()); }

CASE_MAIN
