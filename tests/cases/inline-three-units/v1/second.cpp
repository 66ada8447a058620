#include "common.h"
int second() { return ticket() + Meter().read(); }
