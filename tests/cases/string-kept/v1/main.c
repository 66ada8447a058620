// case: a pointer to a literal of v1 stays valid for good
// then: kept=world,world,world,world
#include "case.h"

static const char *kept;

void step(void) {
    if (!kept) kept = "world";
    printf("kept=%s\nnow=%s\n", kept, "one");
}

CASE_MAIN
