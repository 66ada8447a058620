static int base = 40;
static const char *const names[] = {"a", "b"};
int extra(int x) { return ++base + x + names[x][0]; }
