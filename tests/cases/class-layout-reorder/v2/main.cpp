// case: two fields of the same type change places: the size is the same, the meaning is not: refused
#include "case.h"

struct Pair { int second = 2; int first = 1; };

static Pair pair;

void step(void) {
    pair.first += 10;
    printf("now %d %d\n", pair.first, pair.second);
}

CASE_MAIN
