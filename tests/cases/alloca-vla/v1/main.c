// case: variable length arrays, alloca, cleanup attributes and a big frame with stack probes
// also: gcc-O2
#include "case.h"
#include <alloca.h>

static int cleaned;
static void clean(int *x) { cleaned += *x; }

__attribute__((noinline)) static int work(int n) {
    int numbers[n], __attribute__((cleanup(clean))) guard = 3;
    char *text = alloca((unsigned)n), big[70000];
    for (int i = 0; i < n; i++) numbers[i] = i, text[i] = (char)i;
    memset(big, n, sizeof big);
    return numbers[n - 1] + text[n - 2] + big[69999] + guard * 0;
}

void step(void) { printf("work=%d cleaned=%d\n", work(10), cleaned); }

CASE_MAIN
