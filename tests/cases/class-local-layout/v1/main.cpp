// case: a class changes its layout of which no object outlives a call
// expect: applied|refused
#include "case.h"

struct Sum {
    int total = 0;
    void add(int x) { total += x; }
};

void step(void) {
    Sum sum;
    for (int i = 0; i < 4; i++) sum.add(i);
    printf("total=%d\n", sum.total);
}

CASE_MAIN
