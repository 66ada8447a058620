// case: a default member initialiser changes: live objects keep theirs, new ones get the new one
#include "case.h"

struct Unit { int hp = 25; const char *name = "guard"; };

static Unit old_one;
static Unit *volatile kept = &old_one;

void step(void) {
    Unit fresh;
    printf("old=%d\n%c\nfresh %d %s\n", kept->hp, kept->name[0], fresh.hp, fresh.name);
}

CASE_MAIN
