// case: a new static and a new __thread variable arrive while twelve threads run the changed function
// also: gcc-O2
// link: -lpthread
#include "case.h"
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 12 };
static _Atomic long rounds[THREADS];
static _Atomic int versions[THREADS];

__attribute__((noinline)) int work(void) {
    static __thread int mine;
    return ++mine > 0 ? 1 : 0;
}

static void *worker(void *data) {
    for (;;) {
        versions[(long)data] = work();
        rounds[(long)data]++;
        sched_yield();
    }
    return NULL;
}

void step(void) {
    int sum = 0;
    for (int i = 0; i < THREADS; i++) {
        long before = rounds[i];
        while (rounds[i] < before + 3) sched_yield();
        sum += versions[i];
    }
    printf("sum=%d\n", sum);
}

int main(void) {
    for (long i = 0; i < THREADS; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, worker, (void *)i);
    }
    while (case_next()) step();
    return 0;
}
