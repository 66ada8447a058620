int shared = 100;
int internal(int x) { return x * 3; }
