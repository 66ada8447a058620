#include <stdio.h>
static int calls = 900;
static void show(void) { printf("right %d\n", ++calls); }
void show_right(void) { show(); }
