// case: the program was running before relive came: attach, edit, undo
// how: attach
// also: gcc-O2
#include "case.h"
#include <string>

static std::string text = "state";

static const char *greeting() { return "one"; }

void step(void) {
    text += "!";
    printf("%s %s\n", greeting(), text.c_str());
}

CASE_MAIN
