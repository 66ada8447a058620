// case: a header that is included for the first time during the session counts from then on
#include "case.h"
#include "inc/text.h"

void step(void) { puts(TEXT); }

CASE_MAIN
