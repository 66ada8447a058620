// case: a lambda is inserted that is stored before the others, so that clang shifts its numbers too ($_0); captures, twice
// also: gcc-O2 clang-O0 clang-O2
#include "case.h"
#include <functional>

static std::function<int(int)> kept_a, kept_b, kept_new;

void step(void) {
    int weight = 3;
    auto a = [weight](int x) { return x + weight; };
    auto b = [weight, total = 0](int x) mutable { return total += x * weight; };
    if (!kept_b) {
        kept_a = a;
        kept_b = b;
    }
    printf("kept=%d,%d\n", kept_a(1), kept_b(1));
}

CASE_MAIN
