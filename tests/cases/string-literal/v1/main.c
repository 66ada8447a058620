// case: literals change where the compiler merges equal ones and shares tails ("world" lies inside "hello world")
// then: kept=world,world,world,world
// also: gcc-O2
#include "case.h"

static const char *kept;

void step(void) {
    const char *greeting = "hello world", *tail = "world";
    if (!kept) kept = tail;
    printf("%s|%s|%s\n", greeting, tail, "");
    printf("kept=%s\n", kept);
}

CASE_MAIN
