// case: constant tables change: values, length, strings in it; the functions that read them do not
// functions@O0: step
// also: gcc-O2
#include "case.h"

static const int primes[] = {2, 3, 5, 7};
static const struct { const char *name; double weight; } rows[] = {{"iron", 7.8}, {"gold", 19.3}};
const char banner[] = "first";

void step(void) {
    int sum = 0;
    for (unsigned i = 0; i < sizeof primes / sizeof *primes; i++) sum += primes[i];
    printf("sum=%d\n", sum);
    for (int i = 0; i < 2; i++) printf("%s %.1f\n", rows[i].name, rows[i].weight);
    printf("%s\n", banner);
}

CASE_MAIN
