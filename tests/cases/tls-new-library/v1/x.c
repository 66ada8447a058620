#include <stdio.h>
static __thread int before = 1;
void show(void) { printf("before=%d\n", before++); }
