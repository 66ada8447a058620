#include <stdio.h>
static __thread int before = 1; static __thread long fresh = 33;
void show(void) { printf("before=%d fresh=%ld\n", before++, fresh); }
