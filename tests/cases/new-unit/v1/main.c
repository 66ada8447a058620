// save: settle
// then: extra=140,141,1142,1143,1144,1145
// case: a new file appears, with an entry in compile_commands.json, and is called
// also: clang-O0
#include "case.h"

void step(void) { puts("alone"); }

CASE_MAIN
