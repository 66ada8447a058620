// case: members and static data members of class templates, of old and of new instantiations
// also: clang-O0
#include "case.h"

template <typename T, int N> struct Ring {
    T items[N] = {};
    int used = 0;
    static int made;
    Ring() { made++; }
    void push(T x) { items[used++ % N] = x; }
    T sum() const { T s = 0; for (T i : items) s += i; return s; }
};
template <typename T, int N> int Ring<T, N>::made = 500;

static Ring<int, 3> *ring;

void step(void) {
    if (!ring) ring = new Ring<int, 3>;
    ring->push(ring->used + 1);
    Ring<int, 3> other;
    printf("sum=%d made=%d\n", ring->sum(), Ring<int, 3>::made);
}

CASE_MAIN
