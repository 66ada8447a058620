// case: thread_local objects with constructors keep their value in each thread; they are made again in none
// link: -lpthread
// also: clang-O2
#include "case.h"
#include "worker.h"
#include <string>

struct Trace {
    std::string text = "t";
    Trace() { puts("trace made"); }
};
thread_local Trace trace;
static thread_local int plain = 3;

static void show() {
    trace.text += "x";
    printf("trace=%s plain=%d\n", trace.text.c_str(), plain++);
}

void step(void) {
    show();
    in_worker(show);
}

CASE_MAIN
