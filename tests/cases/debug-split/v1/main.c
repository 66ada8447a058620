// case: split debug information (.dwo beside the object) in the user's build
// flags: -gsplit-dwarf
// expect: applied|refused
// also: clang-O0
#include "case.h"

static int next(void) { static int count = 70; return ++count; }

void step(void) { printf("one %d\n", next()); }

CASE_MAIN
