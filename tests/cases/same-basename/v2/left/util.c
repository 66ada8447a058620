#include <stdio.h>
static int calls = 100;
static void show(void) { printf("new left %d\n", ++calls); }
void show_left(void) { show(); }
