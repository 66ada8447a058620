// case: __func__ and __PRETTY_FUNCTION__ are static arrays that gcc numbers (__func__.0); a function with one is inserted before
#include "case.h"

static void first_of_all(void) { printf("at %s\n", __func__); }
static void second(void) { printf("in %s\n", __func__); }
static void third(void) { printf("in %s and %s\n", __func__, __PRETTY_FUNCTION__); }

void step(void) {
    first_of_all();
    second();
    third();
}

CASE_MAIN
