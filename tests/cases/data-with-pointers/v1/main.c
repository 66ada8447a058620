// case: constant structs with pointers to mutable statics, strings and functions of other units; mutable ones with literals
// also: clang-O0
#include "case.h"

int external(int x);
static int level = 5;
struct entry { const char *name; int *value; int (*get)(int); struct entry const *next; };
static const struct entry last = {"last", &level, external, 0};
static const struct entry entries[] = {{"first", &level, external, &last}, {"second", &level, external, &entries[0]}};
static const char *mutable_name = "initial";

void step(void) {
    level++;
    for (int i = 0; i < 2; i++) printf("%s %d %d %s\n", entries[i].name, *entries[i].value, entries[i].get(i), entries[i].next->name);
    printf("%s\n", mutable_name);
}

CASE_MAIN
