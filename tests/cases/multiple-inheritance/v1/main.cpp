// case: thunks: a function that overrides one of the second base and one of a virtual base changes
// also: clang-O0
#include "case.h"

struct A { virtual ~A() {} virtual int a() { return 1; } int pad_a = 0; };
struct B { virtual ~B() {} virtual int b() { return 2; } int pad_b = 0; };
struct V { virtual ~V() {} virtual int v() { return 3; } int pad_v = 0; };
struct Mix : A, B, virtual V {
    int a() override { return 10 + field; }
    int b() override { return 20 + field; }
    int v() override { return 30 + field; }
    ~Mix() override { puts("mix gone one"); }
    int field = 0;
};

static Mix *kept;
static A *as_a; static B *as_b; static V *as_v;

__attribute__((noinline)) static void show() { printf("%d %d %d\n", as_a->a(), as_b->b(), as_v->v()); }

void step(void) {
    if (!kept) as_a = as_a, kept = new Mix, as_a = kept, as_b = kept, as_v = kept;
    kept->field++;
    show();
    B *other = new Mix;
    delete other;
}

CASE_MAIN
