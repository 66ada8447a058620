#include <cstdio>
#include "greet.h"
void greet(const char *who, int times) { printf("hello %s x%d\n", who, times); }
