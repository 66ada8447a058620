// case: the body of a lambda changes, with captures by value and by reference, called at once and through a template
// also: clang-O0
#include "case.h"
#include <algorithm>
#include <vector>

void step(void) {
    static int runs;
    int base = 5, hits = 0;
    std::vector<int> v{4, 2, 9};
    std::sort(v.begin(), v.end(), [](int a, int b) { return a < b; });
    std::for_each(v.begin(), v.end(), [base, &hits](int x) { hits += x > base; });
    printf("%d %d %d hits=%d runs=%d\n", v[0], v[1], v[2], hits, ++runs);
}

CASE_MAIN
