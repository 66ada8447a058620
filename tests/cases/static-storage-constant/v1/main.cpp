// case: constants that are computed at start (const with constructor or function call): changed ones are new data or a refusal
// expect: applied|refused
// also: clang-O0
#include "case.h"
#include <string>

__attribute__((noinline)) static int compute(int x) { return x * 2; }
static const int size = compute(4);
static const std::string name = "name one";

void step(void) { printf("size=%d name=%s\ntext one\n", size, name.c_str()); }

CASE_MAIN
