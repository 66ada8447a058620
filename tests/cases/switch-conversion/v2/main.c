// case: -O2: switches become constant tables without a name of the user (gcc CSWTCH.3, clang switch.table); one is inserted
#include "case.h"

__attribute__((noinline)) static int weight(int n) {
    switch (n) {
    case 0: return 9;
    case 1: return 90;
    case 2: return 900;
    case 3: return 17;
    case 4: return 18;
    default: return 3;
    }
}
__attribute__((noinline)) static int price(int n) {
    switch (n) {
    case 0: return 13;
    case 1: return 7;
    case 2: return 30;
    case 3: return 101;
    case 4: return 55;
    default: return 3;
    }
}

static volatile int zero;

void step(void) {
    for (int i = zero; i < 6; i++) printf("%d+%d ", price(i), weight(i));
    puts("");
}

CASE_MAIN
