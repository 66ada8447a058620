// case: constants without a name of the user (gcc's C.0.1, clang's .L__const): one inserted before shifts the others
// also: clang-O0
#include "case.h"
#include <string>
#include <vector>

void step(void) {
    std::vector<int> numbers{1, 2, 3, 4, 5};
    int plain[] = {10, 20, 30, 40, 50, 60};
    int sum = 0;
    for (int n : numbers) sum += n;
    for (int n : plain) sum = sum * 3 + n;
    printf("sum=%d\n", sum);
}

CASE_MAIN
