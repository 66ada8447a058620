int level = 1;
int raise_level(void) { return ++level; }
