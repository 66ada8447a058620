// case: pointers to members, virtual and not, kept from v1, in constant and mutable tables
// expect@clang-O2: applied|refused:variable-reduced
// also: clang-O2
#include "case.h"

struct Machine {
    virtual ~Machine() {}
    int plain(int x) { return x + level; }
    virtual int spin(int x) { return x * level; }
    int level = 2;
};
struct Fast : Machine {
    int spin(int x) override { return x * level * 10; }
};
using Op = int (Machine::*)(int);
static const Op table[] = {&Machine::plain, &Machine::spin};
static Op kept[2];
static Machine *machine;

void step(void) {
    if (!machine) {
        machine = new Fast;
        kept[0] = &Machine::plain;
        kept[1] = &Machine::spin;
    }
    machine->level++;
    printf("%d %d %d %d\n", (machine->*table[0])(1), (machine->*table[1])(1), (machine->*kept[0])(2), (machine->*kept[1])(2));
    printf("same %d\n", kept[0] == &Machine::plain);
}

CASE_MAIN
