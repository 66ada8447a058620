// case: anonymous namespaces with the same names in two units; the second member of a struct in one (addend)
// expect@clang-O2: applied|refused:variable-resized|refused:variable-reduced
// also: gcc-O2
#include "case.h"

void other(void);

namespace {
struct State { int first = 1, second = 20; long third[3] = {300, 400, 500}; } state;
int helper(int x) { return x + state.second; }
int counter = 1000;
}

void step(void) {
    state.second++;
    state.third[2]++;
    printf("helper=%d counter=%d third=%ld\n", helper(0), ++counter, state.third[2]);
    other();
}

CASE_MAIN
