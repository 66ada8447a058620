// case: an inline function with a static, a template and an exception class in a header of program and library: one of each
// lib: libpart.so part.cpp
// also: clang-O0
#include "case.h"
#include "both.h"

void step(void) {
    printf("main %d\n", ticket());
    printf("library %d\n", from_library());
    try {
        throwing(1);
    } catch (const Problem &p) {
        printf("problem %d\n", p.code);
    }
}

CASE_MAIN
