// case: a thread spins in a loop whose head is the first instruction of the function, while its bytes are replaced
// also: clang-O0
// flags: -fcf-protection=none -fomit-frame-pointer
// link: -lpthread
#include "case.h"
#include <pthread.h>

static volatile long spins;

__attribute__((noinline)) int spin(void) {
    spins++;
    return 1;
}

__attribute__((noinline)) void loop(void) {
    for (;;) {
        spins++;
        __asm__ volatile("pause");
    }
}

static void *worker(void *unused) {
    loop();
    return unused;
}

void step(void) {
    long before = spins;
    while (spins < before + 1000) {}
    printf("spin=%d\nalive\n", spin());
}

int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, worker, NULL);
    while (case_next()) step();
    return 0;
}
