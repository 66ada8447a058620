// case: user literals, conversion operators, operator new of a class, structured bindings, if constexpr, fold expressions
// also: gcc-O2
#include "case.h"
#include <cstdlib>
#include <new>
#include <tuple>

static int news;
constexpr long operator""_km(unsigned long long x) { return static_cast<long>(x) * 1000; }
struct Length {
    long m;
    explicit operator bool() const { return m > 0; }
    operator double() const { return static_cast<double>(m) / 2; }
    static void *operator new(std::size_t n) { news++; return std::malloc(n); }
    static void operator delete(void *p) { std::free(p); }
};
template <typename... T> static auto total(T... x) { return (x + ... + 0); }
template <typename T> static auto kind(T) { if constexpr (sizeof(T) > 4) return "wide"; else return 4; }

void step(void) {
    auto [a, b] = std::make_tuple(3, 4);
    Length *length = new Length{5_km};
    printf("%d %.1f %d %s news=%d\n", total(a, b, 1), static_cast<double>(*length), kind(1), kind(1L), news);
    delete length;
}

CASE_MAIN
