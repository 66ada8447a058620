// case: empty functions of one to four bytes beside each other get bodies; called and through pointers
// also: gcc-O2
#include "case.h"

__attribute__((noinline)) void nothing(void) { __asm__ volatile(""); }
__attribute__((noinline)) int zero(void) { __asm__ volatile(""); return 0; }
__attribute__((noinline)) void nothing_too(void) { __asm__ volatile(""); }
static void (*volatile pointer)(void) = nothing_too;

void step(void) {
    nothing();
    printf("zero=%d\n", zero());
    nothing_too();
    pointer();
}

CASE_MAIN
