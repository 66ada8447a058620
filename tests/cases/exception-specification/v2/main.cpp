// case: a function becomes noexcept, another stops being it; type pointers of exceptions across the edit compare equal
#include "case.h"

struct Problem { int code; };

__attribute__((noinline)) int first(int n) { if (n == 1) throw Problem{-1}; return n; }
__attribute__((noinline)) int second(int n) noexcept {
    
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
