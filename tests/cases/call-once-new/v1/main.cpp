// case: the new code uses thread_local variables of libstdc++ (std::call_once), threads, futures and a mutex for the first time
// expect: applied|refused:tls-dynamic
// link: -lpthread
// also: clang-O0
#include "case.h"

void step(void) { puts("single"); }

CASE_MAIN
