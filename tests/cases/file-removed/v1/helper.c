int moved(void) { return 1; }
