// case: a static variable and a static function become global and are used by another unit; a global one becomes static
// expect: applied|refused
// also: clang-O0
#include "case.h"

static int count = 100;
int global_count = 500;
static int helper(int x) { return x + 1; }
int other(void);

void step(void) { printf("%d %d %d\n", helper(count++), global_count++, other()); }

CASE_MAIN
