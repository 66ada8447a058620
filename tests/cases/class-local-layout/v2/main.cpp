// case: a class changes its layout of which no object outlives a call
#include "case.h"

struct Sum {
    int count = 0; int total = 0;
    void add(int x) { total += x; count++; }
};

void step(void) {
    Sum sum;
    for (int i = 0; i < 4; i++) sum.add(i);
    printf("total=%d of %d\n", sum.total, sum.count);
}

CASE_MAIN
