// case: aliases of a function and of a variable: one address, several names
// also: clang-O2
// then: value=13,23,33,43
// undone: value=44,45
#include "case.h"

int value = 1;
extern int other_name __attribute__((alias("value")));
int real_answer(void) { return value++; }
int answer(void) __attribute__((alias("real_answer")));
static int (*pointer)(void);

void step(void) {
    if (!pointer) pointer = answer;
    pointer();
    printf("value=%d\nsame=%d\n", other_name, pointer == real_answer);
}

CASE_MAIN
