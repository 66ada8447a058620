int scale(int factor, int x);
int other(int x);
