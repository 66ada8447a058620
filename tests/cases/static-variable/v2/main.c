// case: a static variable keeps its value, also where the new code stores a constant into one (PC32 with addend -8)
#include "case.h"

static int before = 11;
static int mode;
static int count;
static struct { int a, b, c; } trio = {1, 2, 3};

void step(void) {
    mode = 7; count += 10; trio.b = 9;
    printf("before=%d\nmode=%d\ncount=%d\ntrio=%d/%d/%d\n", before, mode, count, trio.a, trio.b, trio.c);
}

CASE_MAIN
