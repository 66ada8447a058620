// case: a big switch (jump table in .rodata) gets more labels
// also: gcc-O2
#include "case.h"

int pick(int n) {
    switch (n) {
    case 0: return 17;
    case 1: return 4;
    case 2: return 99;
    case 3: return puts("three");
    case 4: return 51;
    case 5: return 6 * n * n;
    case 6: return 23;
    case 7: return puts("seven") + 1;
    default: return -1;
    }
}

void step(void) {
    for (int i = 0; i < 12; i++) printf("%d ", pick(i));
    puts("");
}

CASE_MAIN
