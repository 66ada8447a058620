// case: a class overrides a virtual function that it inherited until now: the table has the same size, another slot
// also: gcc-O2
#include "case.h"

struct Animal {
    virtual ~Animal() {}
    virtual const char *sound() const { return "nothing"; }
    virtual int legs() const { return 4; }
};
struct Bird : Animal {
    int legs() const override { return 2; }
};

static Animal *zoo[2];

__attribute__((noinline)) static void show(const Animal *a) { printf("%s %d\n", a->sound(), a->legs()); }

void step(void) {
    if (!zoo[0]) {
        zoo[0] = new Bird;
        zoo[1] = new Animal;
    }
    Animal *fresh = new Bird;
    show(zoo[0]);
    show(zoo[1]);
    show(fresh);
    delete fresh;
}

CASE_MAIN
