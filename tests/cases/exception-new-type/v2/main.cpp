// case: the new code throws and catches a class that is new
#include "case.h"
#include <exception>
#include <stdexcept>
#include <string>

namespace {
struct Special : std::runtime_error {
    int code;
    Special(int c) : std::runtime_error("special " + std::to_string(c)), code(c) {}
};
}

__attribute__((noinline)) static int risky(int n) {
    if (n == 1) throw Special(7);
    if (n == 2) throw "text";
    throw std::out_of_range("far");
}

void step(void) {
    for (int n = 1; n <= 3; n++) {
        try {
            try {
                printf("risky=%d\n", risky(n));
            } catch (const Special &s) {
                printf("special code %d\n", s.code);
                throw;
            }
        } catch (const std::exception &e) {
            printf("caught %s\n", e.what());
        } catch (const char *text) {
            printf("caught %s\n", text);
        }
    }
}

CASE_MAIN
