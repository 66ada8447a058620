// case: clang numbers lambdas over the unit ($_0): one inserted in an earlier function shifts those of later ones
// also: clang-O0
#include "case.h"
#include <functional>

static std::function<int(int)> kept;

static int early(int x) { return x + 1; }

static void store() {
    if (!kept) kept = [total = 0](int x) mutable { return total += x; };
}

void step(void) {
    store();
    printf("early=%d kept=%d\n", early(1), kept(5));
}

CASE_MAIN
