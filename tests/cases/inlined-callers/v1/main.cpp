// case: -O2: a method in a header is inlined into callers of two units, at several depths
// also: gcc-O2
#include "case.h"
#include "value.h"

__attribute__((noinline)) static int one(const Value &v) { return v.get() + 1; }
__attribute__((noinline)) static int two(const Value &v) { return v.twice() + v.get(); }

void step(void) {
    Value v(5);
    printf("%d %d %d\n", one(v), two(v), far_away(v));
}

CASE_MAIN
