// case: a comparison function that libc calls changes
// functions@O0: compare
// also: clang-O0
#include "case.h"
#include <stdlib.h>

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

void step(void) {
    int values[] = {5, 3, 9, 1, 7};
    qsort(values, 5, sizeof *values, compare);
    printf("%d %d %d %d %d\n", values[0], values[1], values[2], values[3], values[4]);
}

CASE_MAIN
