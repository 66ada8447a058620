// case: a class gets its first virtual function: every object changes its layout, which is refused
// expect: refused
// also: clang-O0
#include "case.h"

struct Point {
    int x = 1, y = 2;
    int sum() const { return x + y; }
};

static Point *kept;

void step(void) {
    if (!kept) kept = new Point;
    printf("sum=%d\n", kept->sum());
}

CASE_MAIN
