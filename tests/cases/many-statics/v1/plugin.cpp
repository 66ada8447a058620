#include "registry.h"
static Registrar first("plugin one"), second("plugin two");
