// case: a new thread_local with a constructor, in threads that exist and in later ones (right or refused)
// expect: applied|refused
// link: -lpthread
// also: gcc-O2
#include "case.h"
#include "worker.h"
#include <string>
#include <thread>

static thread_local std::string old_one = "old";

static void show() {
    old_one += ".";
    printf("%s\n", old_one.c_str());
}

void step(void) {
    show();
    in_worker(show);
    std::thread(show).join();
}

CASE_MAIN
