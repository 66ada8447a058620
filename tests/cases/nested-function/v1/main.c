// case: GNU C nested functions, with and without a trampoline on the stack
// never: clang-O0 clang-O2
// also: gcc-O2
// link: -Wl,-z,noexecstack
#include "case.h"

__attribute__((noinline)) static int outer(int x) {
    int local = x;
    int inner(int y) { return local + y; }
    local *= 2;
    return inner(10);
}

void step(void) { printf("outer=%d\n", outer(4)); }

CASE_MAIN
