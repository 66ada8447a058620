// case: lambdas that v1 stored in std::function objects keep what they captured and run the new bodies
// also: gcc-O2
#include "case.h"
#include <functional>
#include <string>

static std::function<int()> kept;
static std::string label = "a label that is longer than the small buffer";

void step(void) {
    if (!kept) kept = [number = 10, text = label]() mutable { return ++number + 100 * static_cast<int>(text.size() > 20); };
    printf("kept=%d\n", kept());
}

CASE_MAIN
