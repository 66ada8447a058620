// case: initial-exec by attribute, and an extern thread variable of another unit
// also: clang-O2
// link: -lpthread
#include "case.h"
#include "worker.h"

__attribute__((tls_model("initial-exec"))) extern __thread int elsewhere;
static __thread struct { int a, b; } couple = {1, 2};

static void show(void) { printf("elsewhere=%d b=%d\n", elsewhere++, couple.b++); }

void step(void) {
    show();
    in_worker(show);
}

CASE_MAIN
