// case: libc functions that the program never imported
#include "case.h"
#include <ctype.h>
#include <stdlib.h>
#include <time.h>

static int descending(const void *a, const void *b) { return *(const int *)b - *(const int *)a; }
static int (*up)(int) = toupper;

void step(void) {
    int values[] = {3, 1, 2};
    qsort(values, 3, sizeof *values, descending);
    char *copy = strdup("text");
    copy[0] = (char)up(copy[0]);
    struct tm day = {.tm_year = 100, .tm_mon = 1, .tm_mday = 3};
    char date[32];
    strftime(date, sizeof date, "%Y-%m-%d", &day);
    printf("%d%d%d %s %ld %s %d\n", values[0], values[1], values[2], copy, strtol("77", NULL, 8), date, isdigit('7') != 0);
    free(copy);
}

CASE_MAIN
