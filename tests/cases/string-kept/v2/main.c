// case: a pointer to a literal of v1 stays valid for good
#include "case.h"

static const char *kept;

void step(void) {
    if (!kept) kept = "universe";
    printf("kept=%s\nnow=%s\n", kept, "two");
}

CASE_MAIN
