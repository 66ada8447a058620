// case: the new code throws and catches a class that is new, and rethrows; catches by base, by value, by pointer
// also: clang-O0
#include "case.h"
#include <exception>
#include <stdexcept>

__attribute__((noinline)) static int risky(int n) {
    if (n > 100) throw std::out_of_range("never");
    return n;
}

void step(void) {
    try {
        printf("risky=%d\n", risky(1));
    } catch (const std::exception &e) {
        printf("caught %s\n", e.what());
    }
}

CASE_MAIN
