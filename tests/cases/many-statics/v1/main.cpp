// case: a header edit recompiles three units full of statics, maps and singletons: all keep their state
// also: gcc-O2
#include "case.h"
#include "registry.h"

static Registrar here("main");

void step(void) {
    Registry::instance().add("step");
    printf("%zu %s\n", Registry::instance().size(), Registry::instance().last().c_str());
}

CASE_MAIN
