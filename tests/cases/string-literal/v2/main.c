// case: literals change where the compiler merges equal ones and shares tails ("world" lies inside "hello world")
#include "case.h"

static const char *kept;

void step(void) {
    const char *greeting = "hello wide world", *tail = "wide world";
    if (!kept) kept = tail;
    printf("%s|%s|%s\n", greeting, tail, "");
    fputs("new literal\n", stdout); printf("kept=%s\n", kept);
}

CASE_MAIN
