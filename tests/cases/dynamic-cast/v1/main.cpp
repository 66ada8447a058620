// case: dynamic_cast and typeid on live objects from new code, and a class that is new
// expect@clang-O2: applied|refused:variable-reduced
// also: gcc-O2
#include "case.h"
#include <typeinfo>

struct Base { virtual ~Base() {} };
struct Left : virtual Base { int l = 1; };
struct Right : virtual Base { int r = 2; };
struct Both : Left, Right { int b = 3; };

static Base *kept[2];

__attribute__((noinline)) static void show(Base *base) {
    printf("left=%d right=%d same=%d\n", dynamic_cast<Left *>(base) != nullptr, dynamic_cast<Right *>(base) != nullptr, typeid(*base) == typeid(Both));
}

void step(void) {
    if (!kept[0]) {
        kept[0] = new Both;
        kept[1] = new Left;
    }
    show(kept[0]);
    show(kept[1]);
}

CASE_MAIN
