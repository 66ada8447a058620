enum color { RED, GREEN, BLUE };
const char *name(enum color c);
