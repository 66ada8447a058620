#include "factor.h"
static int calls;
int unit_@N@(void) { return ++calls + FACTOR * @N@; }
