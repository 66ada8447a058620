// case: a unit in assembly (.S) changes
// expect: applied|refused
#include "case.h"

int asm_answer(int x);

void step(void) { printf("asm=%d\n", asm_answer(2)); }

CASE_MAIN
