// case: an interpreter with a static table of label addresses gets an opcode: the old table must not be bound
#include "case.h"

static int runs = 100;

int interpret(const char *code) {
    static const void *labels[] = {&&twice, &&add, &&stop};
    int value = 1;
    runs++;
    goto *labels[*code++ - '0'];
add:
    value += 1000; if (value > 100000) puts("big");
    goto *labels[*code++ - '0'];
twice:
    value *= 2;
    goto *labels[*code++ - '0'];
stop:
    return value;
}

void step(void) { printf("value=%d\n", interpret("01102")); printf("runs=%d\n", runs); }

CASE_MAIN
