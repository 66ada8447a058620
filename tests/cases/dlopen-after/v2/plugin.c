#include <stdlib.h>
static int total = 10;
static int helper(int x) { return abs(x) * 2; }
int run(int x) { total += helper(x); return -total; }
