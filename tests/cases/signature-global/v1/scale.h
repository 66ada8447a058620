int scale(int x);
int other(int x);
