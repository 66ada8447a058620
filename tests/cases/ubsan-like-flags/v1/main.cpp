// case: stack protector, fortify, control-flow protection and -ffunction-sections of the user's own flags
// flags: -fstack-protector-all -fcf-protection=full -ffunction-sections -fdata-sections -fno-plt -fno-common
// link: -Wl,--gc-sections -Wl,-z,now -Wl,-z,relro
// also: clang-O2
#include "case.h"

static int used;
int never_used(void) { return 1; }

void step(void) {
    char text[32];
    snprintf(text, sizeof text, "one %d", ++used);
    puts(text);
}

CASE_MAIN
