#include <cstdio>
#include <stdexcept>
#include "parts.h"
void old_thrower(void) { throw 42; }
void old_catcher(void (*callback)(void)) {
    try {
        callback();
    } catch (const std::runtime_error &e) {
        printf("old catcher %s\n", e.what());
    }
}
