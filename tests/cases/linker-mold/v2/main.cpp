// case: linked by mold, which writes hidden and unexported globals as local symbols
#include "case.h"
#include <string>

int visible = 10;
__attribute__((visibility("hidden"))) int hidden = 20;
static std::string text = "t"; static std::string fresh = "fresh";
int other(int x);

void step(void) {
    text += ".";
    printf("two %d %d %d %s\n", visible++, hidden++, other(1), (text + fresh).c_str());
}

CASE_MAIN
