// case: anonymous namespaces with the same names in two units; the second member of a struct in one (addend)
#include "case.h"

void other(void);

namespace {
struct State { int first = 1, second = 20; long third[3] = {300, 400, 500}; } state;
int helper(int x) { state.first = 9; return x + state.second * state.first; }
int counter = 1000;
}

void step(void) {
    state.second++;
    state.third[2]++;
    printf("new helper=%d counter=%d third=%ld\n", helper(0), ++counter, state.third[2]);
    other();
}

CASE_MAIN
