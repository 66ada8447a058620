#include <stdio.h>
static int added = 1; static int calls = 900;
static void show(void) { printf("new right %d\n", calls += added); }
void show_right(void) { show(); }
