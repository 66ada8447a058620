#include "greet.h"
void other() { greet("other"); }
