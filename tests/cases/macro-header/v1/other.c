#include <stdio.h>
#include "api.h"
void other(void) { printf("other %d\n", LIMIT(5)); }
