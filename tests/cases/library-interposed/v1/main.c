// case: the program defines a function of its library: calls inside the library go to the program's one, before and after
// lib: libname.so name.c
// link: -rdynamic
// also: gcc-O2
#include "case.h"

const char *describe(void);
const char *name(void) { return "program"; }

void step(void) { printf("%s\n", describe()); }

CASE_MAIN
