#include <cstdio>
inline void show(double x) { printf("double %.1f\n", x); }
