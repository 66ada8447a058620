// case: a program that is not position independent: absolute 32-bit addresses in code, tables and switches
// flags: -fno-pie
// also: gcc-O2 clang-O0 clang-O2
#include "case.h"

static int counter;
static int *where = &counter;
static const char *const words[] = {"zero", "one", "two"};
extern char **environ;
static int callback(void) { return 1; }
static int (*pointer)(void) = callback;

int pick(int n) {
    switch (n) {
    case 0: return 5;
    case 1: return puts("one");
    case 2: return 77;
    case 3: return 8;
    case 4: return 1234;
    default: return 0;
    }
}

void step(void) {
    ++*where;
    printf("%d %s %d %d %d\n", counter, words[counter % 3], pointer(), pick(counter % 6), environ != 0);
}

CASE_MAIN
