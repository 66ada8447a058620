// case: the program sees its environment, arguments, descriptors, signal mask and dispositions as without relive
// also: clang-O0
#include "case.h"
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <dirent.h>

extern char **environ;

void step(void) {
    int suspicious = 0, handlers = 0, descriptors = 0;
    for (char **word = environ; *word; word++) suspicious += strncmp(*word, "RELIVE", 6) == 0 || strncmp(*word, "LD_", 3) == 0;
    for (int n = 1; n < 32; n++) {
        struct sigaction action;
        if (sigaction(n, NULL, &action) == 0) handlers += action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
    }
    for (int fd = 0; fd < 16; fd++) descriptors += dup2(fd, fd) == fd;
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    int blocked = 0;
    for (int n = 1; n < 32; n++) blocked += sigismember(&mask, n);
    char *preload = getenv("LD_PRELOAD");
    printf("preload=%s suspicious=%d handlers=%d blocked=%d descriptors=%d parent=%d\n", preload ? preload : "unset", suspicious, handlers,
           blocked, descriptors, getppid() > 1);
}

CASE_MAIN
