// case: a function-local static with a constructor: neither its guard nor its constructor starts again
// also: clang-O2
// undo: no
#include "case.h"
#include <string>

struct Log {
    std::string text = "log:";
    Log() { puts("log made"); }
    ~Log() { printf("log gone %zu\n", text.size()); }
};

static Log &log_of() {
    static Log log;
    return log;
}

void step(void) {
    log_of().text += "x";
    printf("text=%s\n", log_of().text.c_str());
}

CASE_MAIN
