static int total = 10;
static int helper(int x) { return x * 2; }
int run(int x) { return total += helper(x); }
