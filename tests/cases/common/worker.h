/* One helper thread that lives as long as the program and runs what it is given: for state that each thread has of its own. */
#ifndef WORKER_H
#define WORKER_H
#include <pthread.h>
#include <semaphore.h>

struct worker {
    pthread_t thread;
    sem_t wanted, finished;
    void (*job)(void);
};

static inline void *worker_main(void *data) {
    struct worker *worker = (struct worker *)data;
    for (;;) {
        sem_wait(&worker->wanted);
        worker->job();
        sem_post(&worker->finished);
    }
    return NULL;
}

/* Runs a function on the helper thread and waits for its end. */
static inline void in_worker(void (*job)(void)) {
    static struct worker worker;
    static int started;
    if (!started) {
        started = 1;
        sem_init(&worker.wanted, 0, 0);
        sem_init(&worker.finished, 0, 0);
        pthread_create(&worker.thread, NULL, worker_main, &worker);
    }
    worker.job = job;
    sem_post(&worker.wanted);
    while (sem_wait(&worker.finished) != 0) {}
}
#endif
