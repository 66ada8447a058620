#include <stdio.h>

static __thread int hidden = 10;
static __thread int second = 20;
__thread int visible = 30;

void counter_show(void) { printf("library two: %d %d %d\n", hidden++, second++, visible++); }
