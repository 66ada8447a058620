// case: a variadic function changes, with integers, doubles and a forwarded va_list
// functions@O0: say sum
// also: gcc-O2
#include "case.h"
#include <stdarg.h>

static void say(const char *format, ...) {
    va_list words;
    va_start(words, format);
    fputs("[one] ", stdout);
    vprintf(format, words);
    va_end(words);
}

double sum(int count, ...) {
    va_list words;
    double total = 0;
    va_start(words, count);
    while (count--) total += va_arg(words, double);
    va_end(words);
    return total;
}

void step(void) { say("%d %s %.1f %ld\n", 7, "text", sum(3, 1.5, 2.5, 3.0), 1L << 40); }

CASE_MAIN
