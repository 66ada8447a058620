// case: linked by mold, which writes hidden and unexported globals as local symbols
// expect@O2: applied|refused:initialisers-mixed
// link: -fuse-ld=mold
// also: clang-O0
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
