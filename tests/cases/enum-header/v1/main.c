// case: an enumerator inserted in the middle of an enum in a header renumbers the rest in switches and tables of two units
// expect: applied|refused:layout-changed
// also: clang-O0
#include "case.h"
#include "color.h"

int cost(enum color c) {
    switch (c) {
    case RED: return 1;
    case GREEN: return 20;
    case BLUE: return 300;
    default: return 5;
    }
}

void step(void) {
    for (int c = RED; c <= BLUE; c++) printf("%d %s\n", cost((enum color)c), name((enum color)c));
}

CASE_MAIN
