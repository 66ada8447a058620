// case: attach to a program with threads, one of them asleep in a system call; a new __thread variable where there is no pool
// how: attach
// expect: applied|refused
// link: -lpthread
// also: clang-O0
#include "case.h"
#include "worker.h"

static __thread int mine = 3;

static void show(void) { printf("mine=%d\n", mine++); }

void step(void) {
    show();
    in_worker(show);
}

CASE_MAIN
