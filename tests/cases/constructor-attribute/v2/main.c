// case: a constructor function changes: it is not run again; the variable that it set keeps its value
#include "case.h"

static int setting;
__attribute__((constructor)) static void set_up(void) {
    setting += 50;
    puts("set up two");
}
__attribute__((destructor)) static void tear_down(void) { puts("tear down"); }

void step(void) { printf("setting=%d\ntext two\n", setting); }

CASE_MAIN
