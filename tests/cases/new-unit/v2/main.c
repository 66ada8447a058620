// case: a new file appears, with an entry in compile_commands.json, and is called
#include "case.h"

void step(void) { int extra(int); printf("extra=%d\n", extra(1)); }

CASE_MAIN
