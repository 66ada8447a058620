// case: __thread variables with every access model: -fPIC main program and a library (general dynamic, local dynamic)
// also: gcc-O2
// link: -lpthread
// flags: -fPIC
// lib: libcounter.so counter.c
#include "case.h"
#include "worker.h"

void counter_show(void);
static __thread int mine = 7;

static void show(void) { printf("mine=%d\n", mine++); counter_show(); }

void step(void) {
    show();
    in_worker(show);
}

CASE_MAIN
