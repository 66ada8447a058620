// case: stack protector, fortify, control-flow protection and -ffunction-sections of the user's own flags
#include "case.h"

static int used;
int never_used(void) { return 1; }

void step(void) {
    char text[32];
    snprintf(text, sizeof text, "two %d of %d", ++used, never_used());
    puts(text);
}

CASE_MAIN
