/* The frame of every case: the driver writes "step\n", the program answers with lines and a lone "." when it is done.
 * What is printed before the first "." belongs to the start, what is printed after the end of stdin to the exit. */
#ifndef CASE_H
#define CASE_H
#include <stdio.h>
#include <string.h>

/* Most cases define this and say CASE_MAIN: one answer. Not inlined, because main never returns and so keeps its code. */
__attribute__((noinline)) void step(void);

/* Ends the answer to the last request and blocks until the next one; 0 when the program should end. */
static inline int case_next(void) {
    char line[64];
    puts(".");
    fflush(stdout);
    return fgets(line, sizeof line, stdin) != NULL && strncmp(line, "step", 4) == 0;
}

#define CASE_MAIN                                                                                                      \
    int main(void) {                                                                                                   \
        while (case_next()) step();                                                                                    \
        return 0;                                                                                                      \
    }
#endif
