int moved = 100;
int bump(void) { return moved += 1; }
int other(void) { return -moved; }
