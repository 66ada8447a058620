#include "value.h"
int other(void) { return VALUE; }
