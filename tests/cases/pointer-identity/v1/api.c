#include "api.h"
int handle(void) { return 10; }
handler other_address(void) { return handle; }
