// case: inline variables (one for all units), constexpr and with a constructor, in a header
// also: clang-O0
#include "case.h"
#include "settings.h"

void other(void);

void step(void) {
    counter++;
    other();
    printf("counter=%d words=%zu %s limit=%d\n", counter, words.size(), words.back().c_str(), limit);
}

CASE_MAIN
