#include "api.h"
int handle(void) { return 20; }
handler other_address(void) { handler h = handle; return h; }
