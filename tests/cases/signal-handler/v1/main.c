// case: a signal handler that v1 installed changes; installed on an alternate stack, with a mask that the program blocks
// undone: seen=403,404
// functions@O0: on_signal step
// also: clang-O0
#include "case.h"
#include <signal.h>
#include <stdlib.h>

static volatile sig_atomic_t seen;

static void on_signal(int number) { seen += number == SIGUSR2 ? 1 : 0; }

void step(void) {
    static int installed;
    if (!installed) {
        installed = 1;
        stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
        sigaltstack(&stack, NULL);
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_RESTART};
        sigaction(SIGUSR2, &action, NULL);
        sigset_t blocked;
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR1);
        sigprocmask(SIG_BLOCK, &blocked, NULL);
    }
    raise(SIGUSR2);
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    printf("seen=%d\nmask=%d%d\n", (int)seen, sigismember(&mask, SIGUSR1), sigismember(&mask, SIGUSR2));
}

CASE_MAIN
