// case: a virtual function is appended: objects made before the edit get the new table
#include "case.h"

struct Animal {
    virtual ~Animal() {}
    virtual int legs() const { return 4; }
    virtual const char *sound() const { return "silence"; }
    int age = 1;
};
struct Bird : Animal {
    int legs() const override { return 2; }
    const char *sound() const override { return "tweet"; }
};

static Animal *kept;

__attribute__((noinline)) static void show(Animal *a) { printf("legs=%d age=%d %s\n", a->legs(), a->age++, a->sound()); }

void step(void) {
    if (!kept) kept = new Bird;
    show(kept);
    Bird local;
    show(&local);
}

CASE_MAIN
