// case: the same without any padding between the functions (-Os): less than five bytes to the neighbour
// expect: applied|refused
// flags: -Os -fno-align-functions -fcf-protection=none
// never: gcc-O2 clang-O2
// also: clang-O0
#include "case.h"

__attribute__((noinline)) void nothing(void) { __asm__ volatile(""); }
__attribute__((noinline)) void nothing_too(void) { __asm__ volatile(""); }
__attribute__((noinline)) int zero(void) { __asm__ volatile(""); return 0; }
static void (*volatile pointer)(void) = nothing_too;

void step(void) {
    nothing();
    printf("zero=%d\n", zero());
    nothing_too();
    pointer();
}

CASE_MAIN
