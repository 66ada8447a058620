// case: data of libc that the program never used (environ, stderr, optarg): PIE code assumes a copy relocation for it
// also: clang-O0
// environment: CASE_WORD=found
#include "case.h"

void step(void) { puts("no environment"); }

CASE_MAIN
