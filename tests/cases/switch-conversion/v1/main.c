// case: -O2: switches become constant tables without a name of the user (gcc CSWTCH.3, clang switch.table); one is inserted
// also: gcc-O2
#include "case.h"

__attribute__((noinline)) static int price(int n) {
    switch (n) {
    case 0: return 13;
    case 1: return 7;
    case 2: return 29;
    case 3: return 101;
    case 4: return 55;
    default: return 3;
    }
}

static volatile int zero;

void step(void) {
    for (int i = zero; i < 6; i++) printf("%d ", price(i));
    puts("");
}

CASE_MAIN
