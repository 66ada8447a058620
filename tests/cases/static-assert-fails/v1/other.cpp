#include "size.h"
static_assert(SIZE % 2 == 0, "SIZE must be even");
int other(void);
int other(void) { return SIZE * 2; }
