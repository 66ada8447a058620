// case: a variable of a library that the program uses through a copy relocation: one variable for both
#include "case.h"

extern int level;
int raise_level(void);

void step(void) {
    level += 100;
    printf("new level=%d %d\n", raise_level(), level);
}

CASE_MAIN
