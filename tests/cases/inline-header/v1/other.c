#include <stdio.h>
#include "util.h"
void other(void) {
    next();
    printf("other %d\n", next());
}
