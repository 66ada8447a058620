#include "thing.h"
int Thing::scale = 1000;
int other(const Thing &t) { return t.fresh() + t.number; }
