// case: a variable of a library that the program uses through a copy relocation: one variable for both
// lib: libv.so v.c
// flags: -fno-pie
// also: clang-O0
#include "case.h"

extern int level;
int raise_level(void);

void step(void) {
    level += 100;
    printf("level=%d %d\n", raise_level(), level);
}

CASE_MAIN
