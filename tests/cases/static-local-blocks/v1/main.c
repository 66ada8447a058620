// case: two statics of one name in two blocks of one function, and a third block inserted before them
// expect: applied|refused
// also: clang-O0
// then: inserted=901,902,903,904
#include "case.h"

void step(void) {
    {
        static int n = 10;
        printf("left=%d\n", ++n);
    }
    {
        static int n = 500;
        printf("right=%d\n", ++n);
    }
}

CASE_MAIN
