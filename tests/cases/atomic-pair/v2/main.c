// case: two functions change in one save; no thread that saw a new one meets an old one after it
#include "case.h"
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4 };
static _Atomic long rounds[THREADS];
static _Atomic int transitions[THREADS];

__attribute__((noinline)) int left(void) { int v = 2; __asm__ volatile("" : "+r"(v)); return v; }
__attribute__((noinline)) int right(void) { int v = 2; __asm__ volatile("" : "+r"(v)); return v; }

static void *worker(void *data) {
    int me = (int)(long)data, last = 0;
    for (;;) {
        for (int turn = 0; turn < 2; turn++) {
            int now = turn ? right() : left();
            if (last && now != last) transitions[me]++;
            last = now;
        }
        rounds[me]++;
    }
    return NULL;
}

void step(void) {
    int most = 0;
    for (int i = 0; i < THREADS; i++) {
        long before = rounds[i];
        while (rounds[i] < before + 100) sched_yield();
        if (transitions[i] > most) most = transitions[i];
    }
    printf("left=%d right=%d\n", left(), right());
    printf("most=%d\n", most);
}

int main(void) {
    for (long i = 0; i < THREADS; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, worker, (void *)i);
    }
    while (case_next()) step();
    return 0;
}
