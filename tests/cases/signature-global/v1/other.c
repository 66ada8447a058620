#include "scale.h"
int other(int x) { return scale(x) + 1; }
