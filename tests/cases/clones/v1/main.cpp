// case: -O2: functions that gcc clones (.constprop, .isra, .part, .cold) change
// flags: -fno-inline-small-functions
// also: gcc-O2
#include "case.h"
#include <cstdlib>
#include <stdexcept>

struct Big { int a, b, c, d; };

__attribute__((noinline)) static int propagated(int x, int always) {
    int r = x;
    for (int i = 0; i < always; i++) r = r * 3 + i;
    return r;
}
__attribute__((noinline)) static int scalar(const Big *big, int unused) {
    int r = 0;
    for (int i = 0; i < big->b; i++) r += big->c ^ i;
    return r;
}
static int partial(const int *p) {
    if (!p) return -1;
    int r = 0;
    for (int i = 0; i < 10; i++) r = r * 7 + p[i % 2] + printf("%s", "");
    return r;
}
__attribute__((noinline)) static int cold(int x) {
    if (__builtin_expect(x > 1000, 0)) throw std::runtime_error("cold " + std::to_string(x));
    return x + 1;
}

static volatile int seed = 4;

void step(void) {
    int two[2] = {seed, 2};
    Big big{seed, 5, 6, 7};
    printf("%d %d %d %d\n", propagated(seed, 3), scalar(&big, 1), partial(seed ? two : nullptr), partial(seed > 4 ? two : nullptr));
    try {
        printf("%d\n", cold(seed));
        cold(seed + 2000);
    } catch (const std::exception &e) {
        printf("%s\n", e.what());
    }
}

CASE_MAIN
