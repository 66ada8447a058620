// case: two fields of the same type change places: the size is the same, the meaning is not: refused
// expect: refused:layout-changed
// also: clang-O0
#include "case.h"

struct Pair { int first = 1; int second = 2; };

static Pair pair;

void step(void) {
    pair.first += 10;
    printf("%d %d\n", pair.first, pair.second);
}

CASE_MAIN
