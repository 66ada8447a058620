// case: a program that is not position independent: absolute 32-bit addresses in code, tables and switches
#include "case.h"

static int counter;
static int *where = &counter;
static const char *const words[] = {"zero", "one", "two now"};
extern char **environ;
static int callback(void) { return 11; }
static int (*pointer)(void) = callback;

int pick(int n) {
    switch (n) {
    case 0: return 5;
    case 1: return puts("one");
    case 2: return 78;
    case 3: return 8;
    case 4: return 1234;
    default: return 0;
    }
}

void step(void) {
    ++*where;
    printf("counter %d %s %d %d %d\n", counter, words[counter % 3], pointer(), pick(counter % 6), environ != 0);
}

CASE_MAIN
