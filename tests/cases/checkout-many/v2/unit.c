#include "shared.h"
static int calls;
int unit_@N@(int x) { return ++calls + x * @N@; }
