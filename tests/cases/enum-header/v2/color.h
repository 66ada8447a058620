enum color { RED, ORANGE, GREEN, BLUE };
const char *name(enum color c);
