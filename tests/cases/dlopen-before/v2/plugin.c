static int total = 10;
static int helper(int x) { return x * 2 + 0; }
int run(int x) { total += helper(x); return -total; }
