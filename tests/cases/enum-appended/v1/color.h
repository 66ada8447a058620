enum color { RED, GREEN };
#define COLORS 2
const char *name(enum color c);
