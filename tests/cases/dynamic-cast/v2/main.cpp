// case: dynamic_cast and typeid on live objects from new code, and a class that is new
#include "case.h"
#include <typeinfo>

struct Base { virtual ~Base() {} };
struct Left : virtual Base { int l = 1; };
struct Right : virtual Base { int r = 2; };
struct Both : Left, Right { int b = 3; };
struct Newcomer : Both { int n = 4; };

static Base *kept[2];

__attribute__((noinline)) static void show(Base *base) {
    auto *right = dynamic_cast<Right *>(base);
    printf("left=%d right=%d newcomer=%d same=%d %s\n", dynamic_cast<Left *>(base) != nullptr, right ? right->r : -1,
           dynamic_cast<Newcomer *>(base) != nullptr, typeid(*base) == typeid(Both), typeid(*base).name());
}

void step(void) {
    if (!kept[0]) {
        kept[0] = new Both;
        kept[1] = new Left;
    }
    Newcomer fresh;
    show(kept[0]);
    show(kept[1]);
    show(&fresh);
}

CASE_MAIN
