#include "the header.h"
static int calls;
int spaced(void) { return ++calls + VALUE * 100; }
