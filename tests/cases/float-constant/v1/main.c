// case: constants of float, double, long double and the sign mask, which live in merged sections
// functions@O0: area half precise
// also: gcc-O2
#include "case.h"

__attribute__((noinline)) double area(double r) { return 3.14 * r * r; }
__attribute__((noinline)) float half(float x) { return -x * 0.5f + 1.25f; }
__attribute__((noinline)) long double precise(long double x) { return x * 1.5L; }

void step(void) { printf("%.4f %.4f %.4Lf\n", area(2.0), half(3.0f), precise(2.0L)); }

CASE_MAIN
