// case: main changes, which never returns: it goes on as it is, the other function is new, and the user is told
// functions@O0: main helper
// also: gcc-O2
// then: main=one,one,one,one
// notes: main
#include "case.h"

__attribute__((noinline)) static void helper(void) { puts("helper one"); }

int main(void) {
    while (case_next()) {
        printf("main=one\n");
        helper();
    }
    return 0;
}
