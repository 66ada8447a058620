// case: two functions of two units call each other, both change, with a static in one
// also: clang-O2
#include "case.h"

int even(int n);
int odd(int n) { return n == 0 ? 0 : even(n - 1) + 1; }

void step(void) { printf("%d %d\n", even(6), odd(5)); }

CASE_MAIN
