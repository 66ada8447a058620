// case: a function-local static with a constructor: neither its guard nor its constructor starts again
#include "case.h"
#include <string>

struct Log {
    std::string text = "log:";
    Log() { puts("log made"); }
    ~Log() { printf("log gone %zu\n", text.size()); }
};

static Log &log_of() {
    static Log log;
    log.text.shrink_to_fit();
    return log;
}

void step(void) {
    log_of().text += "x";
    printf("now text=%s\n", log_of().text.c_str());
}

CASE_MAIN
