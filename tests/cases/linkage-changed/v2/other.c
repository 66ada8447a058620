extern int count;
int helper(int x);
int other(void) { return helper(count) * 1000; }
