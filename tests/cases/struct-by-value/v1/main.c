// case: structs by value in registers, in SSE registers and in memory (hidden pointer)
// functions@O0: grow turn fill
// also: clang-O0
#include "case.h"

typedef struct { int x; long y; } small;
typedef struct { float x, y; } pair;
typedef struct { double v[9]; int n; } large;

__attribute__((noinline)) small grow(small s) { return (small){s.x + 1, s.y * 2}; }
__attribute__((noinline)) pair turn(pair p) { return (pair){p.y, -p.x}; }
__attribute__((noinline)) large fill(large l, double v) { for (int i = 0; i < 9; i++) l.v[i] += v; l.n++; return l; }

void step(void) {
    small s = grow((small){1, 2});
    pair p = turn((pair){1.5f, 2.5f});
    large l = fill(fill((large){{1}, 0}, 0.5), 0.25);
    printf("%d %ld\n%.1f %.1f\n%.2f %.2f %d\n", s.x, s.y, p.x, p.y, l.v[0], l.v[8], l.n);
}

CASE_MAIN
