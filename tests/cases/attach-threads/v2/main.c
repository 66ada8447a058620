// case: attach to a program with threads, one of them asleep in a system call; a new __thread variable where there is no pool
#include "case.h"
#include "worker.h"

static __thread int mine = 3; static __thread int fresh = 8;

static void show(void) { printf("mine=%d fresh=%d\n", mine++, fresh); }

void step(void) {
    show();
    in_worker(show);
}

CASE_MAIN
