// case: constructors and destructors change (C1/C2, D0/D1/D2), also virtual ones of objects made by the old code
// also: clang-O0
#include "case.h"

struct Base {
    Base() { puts("base made one"); }
    virtual ~Base() { puts("base gone one"); }
};
struct Derived : Base {
    Derived(int n) : number(n) { printf("derived %d made one\n", n); }
    ~Derived() override { printf("derived %d gone one\n", number); }
    int number;
};

static Base *kept;

void step(void) {
    static int n;
    Base *old = kept;
    kept = new Derived(++n);
    delete old;
    Derived local(n + 100);
}

CASE_MAIN
