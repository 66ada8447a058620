// case: std::visit: tables of functions in COMDAT sections, one alternative's lambda changes, a new visitor is added
// also: clang-O0
#include "case.h"
#include <string>
#include <variant>
#include <vector>

using Value = std::variant<int, double, std::string>;
template <class... T> struct Over : T... { using T::operator()...; };
template <class... T> Over(T...) -> Over<T...>;

static std::vector<Value> values{1, 2.5, std::string("text")};

void step(void) {
    for (auto &value : values)
        std::visit(Over{[](int i) { printf("int %d\n", i); }, [](double d) { printf("double %.1f\n", d); },
                        [](const std::string &s) { printf("string %s\n", s.c_str()); }}, value);
    std::get<int>(values[0])++;
}

CASE_MAIN
