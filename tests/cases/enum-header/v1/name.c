#include "color.h"
static const char *const names[] = {[RED] = "red", [GREEN] = "green", [BLUE] = "blue"};
const char *name(enum color c) { return names[c] ? names[c] : "?"; }
