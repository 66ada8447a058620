// case: a registry that the linker makes (__start_/__stop_) gets one more row, which it cannot in a live program
#include "case.h"

typedef void (*hook)(void);
#define REGISTER(f) __attribute__((section("hooks"), used)) static hook const register_##f = f
static void red(void) { puts("red"); }
REGISTER(red);
static void green(void) { puts("green"); }
REGISTER(green);
static void blue(void) { puts("blue"); }
REGISTER(blue);
extern hook const __start_hooks[], __stop_hooks[];

void step(void) {
    for (hook const *h = __start_hooks; h < __stop_hooks; h++) (*h)();
}

CASE_MAIN
