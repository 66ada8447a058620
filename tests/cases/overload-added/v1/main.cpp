// case: a better overload is added: calls in unchanged functions go to it
// also: gcc-O2
#include "case.h"
#include "show.h"

static void first() { show(1); }
static void second() { show(2.5); }
static void third() { show('c'); }

void step(void) {
    first();
    second();
    third();
}

CASE_MAIN
