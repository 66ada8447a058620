// case: a child made by fork runs the newest code, and ends as it should; a program started by exec is left alone
// also: clang-O0
#include "case.h"
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *text(void) { return "one"; }

void step(void) {
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        printf("child %s\n", text());
        fflush(stdout);
        _exit(7);
    }
    waitpid(child, &status, 0);
    printf("parent %s status %d\n", text(), WEXITSTATUS(status));
    fflush(stdout);
    if (system("echo \"shell ${LD_PRELOAD:-unset}\"") != 0) puts("shell failed");
}

CASE_MAIN
