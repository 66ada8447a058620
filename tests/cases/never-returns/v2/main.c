// case: main changes, which never returns: it goes on as it is, the other function is new, and the user is told
#include "case.h"

__attribute__((noinline)) static void helper(void) { puts("helper two"); }

int main(void) {
    while (case_next()) {
        printf("main=two\n");
        helper();
    }
    return 0;
}
