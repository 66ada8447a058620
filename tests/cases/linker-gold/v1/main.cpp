// case: linked by gold
// expect@O2: applied|refused:initialisers-mixed
// link: -fuse-ld=gold
#include "case.h"
#include <string>

int visible = 10;
__attribute__((visibility("hidden"))) int hidden = 20;
static std::string text = "t";
int other(int x);

void step(void) {
    text += ".";
    printf("one %d %d %d %s\n", visible++, hidden++, other(1), text.c_str());
}

CASE_MAIN
