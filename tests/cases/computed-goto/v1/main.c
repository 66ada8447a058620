// case: an interpreter with a static table of label addresses gets an opcode: the old table must not be bound
// also: clang-O2
// then: runs=103,104,105,106
#include "case.h"

static int runs = 100;

int interpret(const char *code) {
    static const void *labels[] = {&&add, &&twice, &&stop};
    int value = 1;
    runs++;
    goto *labels[*code++ - '0'];
add:
    value += 1;
    goto *labels[*code++ - '0'];
twice:
    value *= 2;
    goto *labels[*code++ - '0'];
stop:
    return value;
}

void step(void) { printf("value=%d\n", interpret("01102")); printf("runs=%d\n", runs); }

CASE_MAIN
