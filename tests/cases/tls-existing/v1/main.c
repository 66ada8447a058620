// case: __thread variables of the executable keep their value in every thread (local exec)
// also: gcc-O2 clang-O0 clang-O2
// link: -lpthread
#include "case.h"
#include "worker.h"

static __thread int calls;
__thread int public_calls = 1000;

static void show(void) { printf("calls=%d public=%d\n", ++calls, ++public_calls); }

void step(void) {
    show();
    show();
    in_worker(show);
}

CASE_MAIN
