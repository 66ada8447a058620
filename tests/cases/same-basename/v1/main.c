// case: two units with the same file name in different folders, with the same static names
// also: gcc-O2 clang-O0 clang-O2
#include "case.h"

void show_left(void);
void show_right(void);

void step(void) {
    show_left();
    show_right();
}

CASE_MAIN
