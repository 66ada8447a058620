// case: __func__ and __PRETTY_FUNCTION__ are static arrays that gcc numbers (__func__.0); a function with one is inserted before
// also: gcc-O2
#include "case.h"

static void second(void) { printf("in %s\n", __func__); }
static void third(void) { printf("in %s and %s\n", __func__, __PRETTY_FUNCTION__); }

void step(void) {
    second();
    third();
}

CASE_MAIN
