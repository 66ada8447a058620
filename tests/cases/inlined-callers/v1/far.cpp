#include "value.h"
int far_away(const Value &v) { return v.twice() * 100; }
