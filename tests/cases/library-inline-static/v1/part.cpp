#include "both.h"
int from_library() { return ticket() + twice(4); }
void throwing(int x) { throw Problem(x); }
