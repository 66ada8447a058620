#include <stdio.h>
const char *name(void) { return "library two"; }
const char *describe(void) {
    static char text[64];
    snprintf(text, sizeof text, "now named %s", name());
    return text;
}
