#include "common.h"
int third() { return ticket(); }
