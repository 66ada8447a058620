// case: CRTP, covariant returns, private inheritance, a local class, using-declarations
// also: clang-O0
#include "case.h"

template <typename D> struct Counted {
    static inline int made = 0;
    Counted() { made++; }
    int twice() { return static_cast<D *>(this)->raw() * 2; }
};
struct Base {
    virtual ~Base() {}
    virtual Base *clone() const { return new Base(*this); }
    virtual int id() const { return 1; }
};
struct Pad { virtual ~Pad() {} long pad = 9; };
struct Item : Pad, Base, Counted<Item> {
    int raw() { return 21; }
    Item *clone() const override { return new Item(*this); }
    int id() const override { return 2; }
};

static Item item;
static const Base *base = &item;

void step(void) {
    struct Local { int f(int x) { return x + 1; } } local;
    Base *copy = base->clone();
    printf("%d %d %d %d\n", item.twice(), copy->id(), local.f(1), Counted<Item>::made);
    delete copy;
}

CASE_MAIN
