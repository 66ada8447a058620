enum color { RED, GREEN, BLUE };
#define COLORS 3
const char *name(enum color c);
