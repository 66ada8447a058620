#include <stdio.h>
static int calls = 100;
static void show(void) { printf("left %d\n", ++calls); }
void show_left(void) { show(); }
