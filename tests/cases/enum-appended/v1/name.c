#include "color.h"
static const char *const names[] = {"red", "green", "blue"};
const char *name(enum color c) { return names[c]; }
