// case: extended asm with immediates, memory operands, local labels and a call from asm
// also: gcc-O2
#include "case.h"

static int cell = 3;
__attribute__((used, noinline)) int callee(void) { return 8; }

__attribute__((noinline)) int work(int x) {
    int result = x;
    __asm__ volatile("addl $5, %0\n\tjmp 1f\n\taddl $1000, %0\n1:\n\taddl %1, %0\n\tincl %1" : "+r"(result), "+m"(cell) : : "cc");
    return result;
}

void step(void) { printf("work=%d cell=%d callee=%d\n", work(1), cell, callee()); }

CASE_MAIN
