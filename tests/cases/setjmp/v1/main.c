// case: setjmp in an old frame that stays on the stack, longjmp out of changed functions through a changed frame
// also: gcc-O2
#include "case.h"
#include <setjmp.h>

static jmp_buf back;

static void thrower(int n) {
    if (n == 0) longjmp(back, 1);
    thrower(n - 1);
}

__attribute__((noinline)) static int local(void) {
    jmp_buf here;
    volatile int value = 5;
    int code = setjmp(here);
    if (code == 0) {
        value = 6;
        longjmp(here, 3);
    }
    return value * 10 + code;
}

void step(void) {
    printf("local=%d\n", local());
    thrower(3);
}

int main(void) {
    static int jumps;
    while (case_next()) {
        if (setjmp(back) == 0)
            step();
        else
            jumps++;
        printf("jumps=%d\n", jumps);
    }
    return 0;
}
