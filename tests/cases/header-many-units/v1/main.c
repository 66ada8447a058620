// case: a header seen by twenty units changes
// copies: unit.c 20
// depfiles: no
#include "case.h"
#include "factor.h"

#define ALL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19)
#define DECLARE(n) int unit_##n(void);
#define CALL(n) sum += unit_##n();
ALL(DECLARE)

void step(void) {
    int sum = 0;
    ALL(CALL)
    printf("sum=%d factor=%d\n", sum, FACTOR);
}

CASE_MAIN
