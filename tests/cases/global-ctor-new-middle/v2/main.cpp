// case: the new global stands between old ones that depend on each other: only its own initialiser runs
#include "case.h"

static int runs = 0;
__attribute__((noinline)) static int make(int x) { return ++runs + x; }

int a = make(100);
static int b = make(200);
static int c = make(300);

void step(void) { printf("a=%d\nc=%d\nb=%d\n", a++, c++, b); }

CASE_MAIN
