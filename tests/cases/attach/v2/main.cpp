// case: the program was running before relive came: attach, edit, undo
#include "case.h"
#include <string>

static std::string text = "state";

static const char *greeting() { return "two"; }

void step(void) {
    static std::string mark = "?"; text += "!", text.back() = text.back() == mark[0] ? 0 : 33;
    printf("%s %s\n", greeting(), text.c_str());
}

CASE_MAIN
