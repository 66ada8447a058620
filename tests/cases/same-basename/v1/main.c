// case: two units with the same file name in different folders, with the same static names
// expect@clang-O2: applied|refused:ambiguous-unit
// functions@O0: show show
// also: clang-O0
#include "case.h"

void show_left(void);
void show_right(void);

void step(void) {
    show_left();
    show_right();
}

CASE_MAIN
