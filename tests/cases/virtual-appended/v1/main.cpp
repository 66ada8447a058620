// case: a virtual function is appended: objects made before the edit get the new table
// also: gcc-O2 clang-O0 clang-O2
#include "case.h"

struct Animal {
    virtual ~Animal() {}
    virtual int legs() const { return 4; }
    int age = 1;
};
struct Bird : Animal {
    int legs() const override { return 2; }
};

static Animal *kept;

__attribute__((noinline)) static void show(Animal *a) { printf("legs=%d age=%d\n", a->legs(), a->age++); }

void step(void) {
    if (!kept) kept = new Bird;
    show(kept);
    Bird local;
    show(&local);
}

CASE_MAIN
