static int count = START;
static int next(void) { return count++; }
int NAME(void) { return next() * 10; }
