#include <cstdio>
inline void show(double x) { printf("double %.1f\n", x); }
inline void show(int x) { printf("int %d\n", x); }
inline void show(char x) { printf("char %c\n", x); }
