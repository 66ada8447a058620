// case: a function of more than 64 KiB of code
// functions@O0: churn
// also: gcc-O2
#include "case.h"

#define R1(n) x = x * 3 + n; y ^= x >> 7; if (y % 11 == n % 11) x += y;
#define R8(n) R1(n) R1(n + 1) R1(n + 2) R1(n + 3) R1(n + 4) R1(n + 5) R1(n + 6) R1(n + 7)
#define R64(n) R8(n) R8(n + 8) R8(n + 16) R8(n + 24) R8(n + 32) R8(n + 40) R8(n + 48) R8(n + 56)
#define R512(n) R64(n) R64(n + 64) R64(n + 128) R64(n + 192) R64(n + 256) R64(n + 320) R64(n + 384) R64(n + 448)

static volatile unsigned seed = 1;

unsigned churn(void) {
    unsigned x = seed, y = 3;
    R512(0) R512(512)
    return x ^ y;
}

void step(void) { printf("churn=%u\n", churn()); }

CASE_MAIN
