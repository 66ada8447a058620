// case: a virtual function is inserted before others: slots shift (right or refused)
// expect: applied|refused
// also: clang-O0
#include "case.h"

struct Animal {
    virtual ~Animal() {}
    virtual int legs() const { return 4; }
    virtual int wings() const { return 0; }
};
struct Bird : Animal {
    int wings() const override { return 2; }
};

static Animal *kept;

__attribute__((noinline)) static void show(Animal *a) { printf("legs=%d wings=%d\n", a->legs(), a->wings()); }

void step(void) {
    if (!kept) kept = new Bird;
    show(kept);
}

CASE_MAIN
