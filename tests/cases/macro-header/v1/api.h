#include "config/config.h"
void other(void);
