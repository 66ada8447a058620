#include <stdio.h>
const char *name(void) { return "library one"; }
const char *describe(void) {
    static char text[64];
    snprintf(text, sizeof text, "named %s", name());
    return text;
}
