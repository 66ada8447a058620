// case: constants of float, double, long double and the sign mask, which live in merged sections
#include "case.h"

__attribute__((noinline)) double area(double r) { return 3.14159 * r * r; }
__attribute__((noinline)) float half(float x) { return -x * 0.75f + 2.5f; }
__attribute__((noinline)) long double precise(long double x) { return x * 1.25L; }

void step(void) { printf("%.4f %.4f %.4Lf\n", area(2.0), half(3.0f), precise(2.0L)); }

CASE_MAIN
