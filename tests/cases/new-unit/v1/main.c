// save: settle
// case: a new file appears, with an entry in compile_commands.json, and is called
// also: clang-O0
#include "case.h"

void step(void) { puts("alone"); }

CASE_MAIN
