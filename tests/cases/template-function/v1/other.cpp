#include "scale.h"
int other(void);
int other(void) { return scale(3) + static_cast<int>(scale('a')); }
