// case: constants without a name of the user (gcc's C.0.1, clang's .L__const): one inserted before shifts the others
#include "case.h"
#include <string>
#include <vector>

static int before(int i) { const long table[] = {7, 8, 9, 10, 11, 12}; return (int)table[i]; }

void step(void) {
    std::vector<int> added{9, 8, 7, 6, 5, 4, 3};
    std::vector<int> numbers{1, 2, 3, 4, 5};
    int plain[] = {10, 21, 30, 40, 50, 60};
    int sum = before(added[5]);
    for (int n : numbers) sum += n;
    for (int n : plain) sum = sum * 3 + n;
    printf("sum=%d\n", sum);
}

CASE_MAIN
