#include <string.h>
int callback(int x);
static int calls;
int from_c(const char *text) { return callback((int)strlen(text)) + 1000 * ++calls; }
