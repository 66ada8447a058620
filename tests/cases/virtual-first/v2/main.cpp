// case: a class gets its first virtual function: every object changes its layout, which is refused
#include "case.h"

struct Point {
    int x = 1, y = 2;
    virtual int sum() const { return 10 * x + y; }
};

static Point *kept;

void step(void) {
    if (!kept) kept = new Point;
    printf("sum=%d\n", kept->sum());
}

CASE_MAIN
