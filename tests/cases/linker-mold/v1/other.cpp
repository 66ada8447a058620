__attribute__((visibility("hidden"))) extern int hidden;
int other(int x);
int other(int x) { return x + hidden; }
