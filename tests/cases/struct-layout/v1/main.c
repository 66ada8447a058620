// case: a field is inserted into a struct that lives: refused, and the program goes on as it was
// expect: refused:layout-changed
// also: clang-O0
#include "case.h"
#include "shape.h"

static struct shape one = {3, 4};

void step(void) {
    one.width++;
    printf("area=%d\n", area(&one));
}

CASE_MAIN
