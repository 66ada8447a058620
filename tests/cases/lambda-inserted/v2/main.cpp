// case: a lambda is inserted before a stored one and shifts its number (UlvE0_): the stored one must keep its meaning
#include "case.h"
#include <functional>

static std::function<const char *()> kept_a, kept_b;

void step(void) {
    auto inserted = []() { return "inserted"; };
    if (inserted()[0] != 'i') puts("never");
    auto a = []() { return "a"; };
    auto b = []() { return "b"; };
    if (!kept_b) {
        kept_a = a;
        kept_b = b;
    }
    printf("kept=%s\nkept_a=%s\nfresh %s, %s\n", kept_b(), kept_a(), b(), inserted());
}

CASE_MAIN
