// case: C and C++ units in one program, extern "C" between them, both edited in one save
// also: clang-O0
#include "case.h"
#include <string>

extern "C" int from_c(const char *text);
extern "C" int callback(int x);
int callback(int x) { return x + 1; }

void step(void) { printf("from_c=%d\n", from_c(std::string(4, 'x').c_str())); }

CASE_MAIN
