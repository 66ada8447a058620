// case: -O2: a caller on the stack keeps a value in a register across the call of a static function (IPA-RA); the new callee uses more registers
#include "case.h"
#include <unistd.h>
#include <pthread.h>

static int wake[2], done[2];
static long result;
static volatile long sink[32];

__attribute__((noinline)) static long callee(long a) {
    long x = a; for (int i = 0; i < 20; i++) sink[i] = x = x * 3 + sink[i + 1] * 0; return x / x + a * 4;
}

__attribute__((noinline)) static long waits(long a) {
    char byte;
    if (read(wake[0], &byte, 1) != 1) return -1;
    return a;
}

__attribute__((noinline)) static long caller(long a, long b, long c) {
    long w = waits(a);
    return callee(w) * 100 + a + b * 2 + c * 3 + w;
}

static void *worker(void *unused) {
    for (;;) {
        result = caller(1, 2, 3);
        if (write(done[1], "x", 1) != 1) return unused;
    }
}

void step(void) {
    char byte;
    sink[0] = result;
    if (write(wake[1], "x", 1) != 1 || read(done[0], &byte, 1) != 1) puts("broken pipe");
    printf("result=%ld\n", result);
}

int main(void) {
    pthread_t thread;
    if (pipe(wake) || pipe(done)) return 1;
    pthread_create(&thread, NULL, worker, NULL);
    while (case_next()) step();
    return 0;
}
