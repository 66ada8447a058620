// case: frames of the changed recursive function are on the stack; they end as old code, new calls are new
// also: clang-O0
#include "case.h"

int walk(int n, int wait) {
    if (n == 0) {
        if (wait)
            while (case_next()) step();
        return 0;
    }
    int below = walk(n - 1, wait);
    return below + 1;
}

void step(void) { printf("walk=%d\n", walk(4, 0)); }

int main(void) {
    int total = walk(5, 1);
    printf("unwound %d\n", total);
    return 0;
}
