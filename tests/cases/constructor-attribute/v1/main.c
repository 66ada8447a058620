// case: a constructor function changes: it is not run again; the variable that it set keeps its value
// also: gcc-O2
// then: setting=5,5,5,5
#include "case.h"

static int setting;
__attribute__((constructor)) static void set_up(void) {
    setting += 5;
    puts("set up one");
}
__attribute__((destructor)) static void tear_down(void) { puts("tear down"); }

void step(void) { printf("setting=%d\ntext one\n", setting); }

CASE_MAIN
