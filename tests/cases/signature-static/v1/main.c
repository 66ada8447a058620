// case: a static function gets a parameter and another return type; its callers in the unit with it
// also: gcc-O2
#include "case.h"

__attribute__((noinline)) static int area(int w) { return w * w; }

__attribute__((noinline)) static void report(void) { printf("area=%d\n", area(3)); }

void step(void) {
    report();
    printf("again %d\n", area(4));
}

CASE_MAIN
