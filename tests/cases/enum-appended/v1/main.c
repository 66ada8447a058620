// case: an enumerator is appended to an enum in a header: nothing that lives changes its meaning
// also: clang-O0
#include "case.h"
#include "color.h"

static enum color now = GREEN;

int cost(enum color c) {
    switch (c) {
    case RED: return 1;
    case GREEN: return 20;
    default: return 5;
    }
}

void step(void) {
    for (int c = RED; c < COLORS; c++) printf("%d %s\n", cost((enum color)c), name((enum color)c));
    now = (enum color)((now + 1) % 2);
    printf("now %d\n", now);
}

CASE_MAIN
