// case: a default member initialiser changes: live objects keep theirs, new ones get the new one
// then: old=10,10,10,10
// also: clang-O0
#include "case.h"

struct Unit { int hp = 10; const char *name = "grunt"; };

static Unit old_one;
static Unit *volatile kept = &old_one;

void step(void) {
    Unit fresh;
    printf("old=%d\n%c\nfresh %d %s\n", kept->hp, kept->name[0], fresh.hp, fresh.name);
}

CASE_MAIN
