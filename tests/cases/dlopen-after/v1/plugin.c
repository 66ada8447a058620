#include <stdlib.h>
static int total = 10;
static int helper(int x) { return abs(x) * 2; }
int run(int x) { return total += helper(x); }
