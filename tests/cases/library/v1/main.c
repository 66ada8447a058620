// case: functions and state of a shared library; one exported function calls another through the library's own PLT
// functions@O0: shape_name shape_area shape_detail
// lib: libshape.so shape.c detail.c
// also: gcc-O2 clang-O0 clang-O2
#include "case.h"
#include "shape.h"

void step(void) {
    printf("%s %d\n", shape_name(), shape_area(3));
    shape_total += 1000;
}

CASE_MAIN
