// case: exceptions from new code into old frames and from old code through new frames, with destructors on the way
// expect@gcc-O2: applied|refused:no-safe-moment
// also: gcc-O2 clang-O0 clang-O2
#include "case.h"
#include "parts.h"
#include <stdexcept>

struct Guard {
    const char *name;
    ~Guard() { printf("guard %s\n", name); }
};

__attribute__((noinline)) static void changed_thrower(int n) {
    Guard guard{"thrower one"};
    if (n > 0) throw std::runtime_error("one");
}

__attribute__((noinline)) static void changed_middle() {
    Guard guard{"middle one"};
    old_thrower();
}

void changed_callback(void) { changed_thrower(1); }

void step(void) {
    try {
        changed_thrower(1);
    } catch (const std::exception &e) {
        printf("main caught %s\n", e.what());
    }
    try {
        changed_middle();
    } catch (int n) {
        printf("main caught %d\n", n);
    }
    old_catcher(changed_callback);
}

CASE_MAIN
