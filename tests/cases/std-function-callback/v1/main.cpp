// case: callbacks registered by v1: free functions, bound methods, functors, in another unit's container
// also: gcc-O2
#include "case.h"
#include "registry.h"

static int free_one(int x) { return x + 1; }
struct Adder {
    int by;
    int operator()(int x) const { return x + by; }
    int method(int x) { return x * by; }
};
static Adder adder{10};

void step(void) {
    static bool registered;
    if (!registered) {
        registered = true;
        add_callback(free_one);
        add_callback(Adder{5});
        add_callback(std::bind(&Adder::method, &adder, std::placeholders::_1));
    }
    adder.by++;
    printf("all=%d\n", call_all(3));
}

CASE_MAIN
