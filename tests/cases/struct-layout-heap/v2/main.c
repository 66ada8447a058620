// case: a struct that lives only on the heap gets a field (no variable of that type exists)
#include "case.h"
#include <stdlib.h>

struct node { double weight; int value; struct node *next; };
static struct node *list;

void step(void) {
    struct node *n = malloc(sizeof *n);
    n->value = list ? list->value + 1 : 1;
    n->next = list;
    list = n;
    int sum = 0;
    for (; n; n = n->next) sum += n->value;
    printf("total=%d\n", sum);
}

CASE_MAIN
