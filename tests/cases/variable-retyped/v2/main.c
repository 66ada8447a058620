// case: a static variable gets another type of the same size: refused
#include "case.h"

static float level = 30.5f;

void step(void) { printf("level=%.1f\n", (double)(level += 1) / 2); }

CASE_MAIN
