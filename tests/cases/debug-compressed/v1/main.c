// case: compressed debug sections, and macros in them
// flags: -gz=zlib -g3
// link: -Wl,--compress-debug-sections=zlib
// also: clang-O0
#include "case.h"

static int next(void) { static int count = 70; return ++count; }
static int other(void) { static int count = 700; return ++count; }

void step(void) { printf("one %d %d\n", next(), other()); }

CASE_MAIN
