// case: data of libc that the program never used
#include "case.h"
#include <getopt.h>

extern char **environ;

void step(void) {
    for (char **word = environ; *word; word++)
        if (strncmp(*word, "CASE_WORD=", 10) == 0) puts(*word);
    optind = 1;
    char *words[] = {"x", "-a", "value", NULL};
    while (getopt(3, words, "a:") != -1) printf("option %s\n", optarg);
    fprintf(stderr, "to stderr\n");
    printf("%d\n", stderr != stdout && stdin != stderr);
}

CASE_MAIN
