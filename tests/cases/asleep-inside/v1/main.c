// case: a thread sleeps in a system call inside the changed function; it wakes up in the old code and returns
// also: clang-O2
// link: -lpthread
// then: worker=one,two,two,two
// undone: worker=two,one
#include "case.h"
#include <pthread.h>
#include <unistd.h>

static int wake[2], done[2];
static const char *volatile text;

__attribute__((noinline)) void sleeper(void) {
    char byte;
    if (read(wake[0], &byte, 1) != 1) return;
    text = "one";
}

static void *worker(void *unused) {
    for (;;) {
        sleeper();
        if (write(done[1], "x", 1) != 1) return unused;
    }
}

void step(void) {
    char byte;
    if (write(wake[1], "x", 1) != 1 || read(done[0], &byte, 1) != 1) puts("broken pipe");
    printf("worker=%s\n", text);
}

int main(void) {
    pthread_t thread;
    if (pipe(wake) || pipe(done)) return 1;
    pthread_create(&thread, NULL, worker, NULL);
    while (case_next()) step();
    return 0;
}
