// case: constexpr values and functions in a header, used as array sizes of locals, template arguments and case labels
// also: clang-O0
#include "case.h"
#include "config.h"

template <int N> static int times(int x) { return x * N; }

int classify(int x) {
    switch (x) {
    case limit: return 1;
    case square(limit): return 2;
    default: return 0;
    }
}

void step(void) {
    char buffer[square(limit)];
    printf("%zu %d %d %d %d\n", sizeof buffer, times<limit>(2), classify(4), classify(9), classify(81));
}

CASE_MAIN
