// case: methods, a static member, a nested class and a friend are added: nothing of the layout changes, so nothing is refused
// also: gcc-O2
#include "case.h"
#include "thing.h"

static Thing thing;

void step(void) { printf("%d %d\n", thing.next(), other(thing)); }

CASE_MAIN
