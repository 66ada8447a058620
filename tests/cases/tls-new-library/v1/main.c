// case: a new __thread variable in a shared library of the program
// link: -lpthread
// lib: libx.so x.c
// also: clang-O0
#include "case.h"
#include "worker.h"

void show(void);

void step(void) {
    show();
    in_worker(show);
}

CASE_MAIN
