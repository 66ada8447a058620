// case: a new __thread variable: its initial value in threads that exist and in one that starts later
// also: clang-O2
// link: -lpthread
// undo: yes
#include "case.h"
#include "worker.h"

static __thread int old_one = 5;

static void show(void) { printf("old=%d\n", old_one++); }

static void *late(void *unused) { show(); show(); return unused; }

void step(void) {
    pthread_t thread;
    show();
    in_worker(show);
    pthread_create(&thread, NULL, late, NULL);
    pthread_join(thread, NULL);
}

CASE_MAIN
