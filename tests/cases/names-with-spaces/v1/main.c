// case: spaces, umlauts, dollars and brackets in the names of files and folders
// also: clang-O0
#include "case.h"
#include "my folder/the header.h"

int spaced(void);

void step(void) { printf("%d %d\n", spaced(), VALUE); }

CASE_MAIN
