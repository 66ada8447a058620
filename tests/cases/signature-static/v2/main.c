// case: a static function gets a parameter and another return type; its callers in the unit with it
#include "case.h"

__attribute__((noinline)) static double area(int w, double h) { return w * h; }

__attribute__((noinline)) static void report(void) { printf("area=%.1f\n", area(3, 1.5)); }

void step(void) {
    report();
    printf("again %.1f\n", area(4, 2.5));
}

CASE_MAIN
