// case: hidden visibility in a library: several units share a hidden function and a hidden variable
// lib: libh.so a.c b.c
// flags: -fvisibility=hidden
// also: clang-O0
#include "case.h"

__attribute__((visibility("default"))) int api(int x);

void step(void) { printf("api=%d\n", api(2)); }

CASE_MAIN
