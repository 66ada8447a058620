#include "algo.h"
int other(void);
int other(void) { return run(3); }
