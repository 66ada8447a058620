extern int moved;
int other(void) { return moved; }
