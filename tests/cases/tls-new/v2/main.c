// case: a new __thread variable: its initial value in threads that exist and in one that starts later
#include "case.h"
#include "worker.h"

static __thread int old_one = 5; static __thread int fresh = 70; static __thread int zero;

static void show(void) { printf("old=%d fresh-ok=%d zero-ok=%d\n", old_one++, ++fresh > 70 && fresh < 90, ++zero == fresh - 70); }

static void *late(void *unused) { show(); show(); return unused; }

void step(void) {
    pthread_t thread;
    show();
    in_worker(show);
    pthread_create(&thread, NULL, late, NULL);
    pthread_join(thread, NULL);
}

CASE_MAIN
