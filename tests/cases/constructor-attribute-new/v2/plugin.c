int registered = 1;
__attribute__((constructor)) static void enlist(void) { registered += 41; }
