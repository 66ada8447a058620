int level = 1;
int raise_level(void) { level += 1; return -level; }
