// case: a static variable keeps its value, also where the new code stores a constant into one (PC32 with addend -8)
// undone@O2: count=43,44
// also: gcc-O2 clang-O0 clang-O2
// then: count=12,22,32,42 mode=7,7,7,7
// undone: count=43,44 mode=7,7 trio=1/9/3,1/9/3
#include "case.h"

static int before = 11;
static int mode;
static int count;
static struct { int a, b, c; } trio = {1, 2, 3};

void step(void) {
    count += 1;
    printf("before=%d\nmode=%d\ncount=%d\ntrio=%d/%d/%d\n", before, mode, count, trio.a, trio.b, trio.c);
}

CASE_MAIN
