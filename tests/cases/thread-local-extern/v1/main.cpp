// case: a thread_local object of another unit, reached through its wrapper (_ZTW), and inside a function
// link: -lpthread
// also: clang-O0
#include "case.h"
#include "worker.h"
#include <string>

extern thread_local std::string shared;

static std::string &local() {
    static thread_local std::string own = "own";
    return own;
}

static void show() {
    shared += "+";
    local() += "-";
    printf("%s %s\n", shared.c_str(), local().c_str());
}

void step(void) {
    show();
    in_worker(show);
}

CASE_MAIN
