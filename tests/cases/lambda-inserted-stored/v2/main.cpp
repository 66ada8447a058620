// case: a lambda is inserted that is stored before the others, so that clang shifts its numbers too ($_0); captures, twice
#include "case.h"
#include <functional>

static std::function<int(int)> kept_a, kept_b, kept_new;

void step(void) {
    int weight = 3;
    auto inserted = [weight](int x) { return x * 1000 + weight; };
    if (!kept_new) kept_new = inserted;
    auto a = [weight](int x) { return x + weight; };
    auto b = [weight, total = 0](int x) mutable { return total += x * weight; };
    if (!kept_b) {
        kept_a = a;
        kept_b = b;
    }
    printf("kept=%d,%d new=%d\n", kept_a(1), kept_b(1), kept_new(2));
}

CASE_MAIN
