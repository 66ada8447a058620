// case: calls that the compiler itself makes up
#include "case.h"

struct large { char text[600]; int n; };
static struct large store;

__attribute__((noinline)) static struct large copy(struct large l) { l.text[599] = 'z'; return l; }

void step(void) {
    ++store.n;
    struct large empty = {0}, twin = copy(store);
    empty.n = twin.n;
    for (int i = 0; i < 500; i++) empty.text[i] = twin.text[i] ? twin.text[i] : 'x';
    printf("n=%d %zu %d\n", empty.n, strlen(empty.text), memcmp(&store, &twin, sizeof store) != 0);
}

CASE_MAIN
