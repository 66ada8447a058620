// case: __thread variables of the executable keep their value in every thread (local exec)
#include "case.h"
#include "worker.h"

static __thread int calls;
__thread int public_calls = 1000;

static void show(void) { printf("calls=%d public=%d\n", ++calls + 100, public_calls += 1); }

void step(void) {
    show();
    show();
    in_worker(show);
}

CASE_MAIN
