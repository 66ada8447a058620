#include "thing.h"
int other(const Thing &t) { return t.value(); }
