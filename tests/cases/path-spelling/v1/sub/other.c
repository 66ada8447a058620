#include "../inc/value.h"
int other(void) { return VALUE + 1; }
