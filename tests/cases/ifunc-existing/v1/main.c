// case: new code calls an IFUNC that was resolved at start, and takes its address for the first time
// also: clang-O0
#include "case.h"

static int fast(int x) { return x + 100; }
static int slow(int x) { return x + 1; }
static int wanted = 1;
static int (*resolve(void))(int) { return wanted ? fast : slow; }
int add(int x) __attribute__((ifunc("resolve")));

void step(void) { printf("sum=%d\nlength=%zu\n", add(5), strlen(wanted ? "four" : "")); }

CASE_MAIN
