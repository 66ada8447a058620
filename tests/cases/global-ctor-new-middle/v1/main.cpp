// case: the new global stands between old ones that depend on each other: only its own initialiser runs (clang -O2 computes their values when it compiles)
// expect@gcc-O2: applied|refused:initialisers-mixed
// never: clang-O2
// then: c=304,305,306,307 b=203,203,203,203
// also: clang-O0
#include "case.h"

static int runs = 0;
__attribute__((noinline)) static int make(int x) { return ++runs + x; }

int a = make(100);
static int c = make(300);

void step(void) { printf("a=%d\nc=%d\n", a++, c++); }

CASE_MAIN
