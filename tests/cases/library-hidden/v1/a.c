int internal(int x);
extern int shared;
__attribute__((visibility("default"))) int api(int x) { return internal(x) + shared++; }
