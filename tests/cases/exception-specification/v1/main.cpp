// case: a function becomes noexcept, another stops being it; type pointers of exceptions across the edit compare equal
// also: clang-O0
#include "case.h"

struct Problem { int code; };

__attribute__((noinline)) int first(int n) noexcept { return n; }
__attribute__((noinline)) int second(int n) {
    if (n > 5) throw Problem{n};
    return n;
}

void step(void) {
    try {
        printf("%d %d\n", first(1), second(7));
    } catch (const Problem &p) {
        printf("problem %d\n", p.code);
    }
    printf("noexcept %d %d\n", noexcept(first(1)), noexcept(second(1)));
}

CASE_MAIN
