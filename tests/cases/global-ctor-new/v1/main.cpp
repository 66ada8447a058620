// case: new globals with constructors beside existing ones of the same unit: constructed once, the old ones never again
// expect@O2: applied|refused:initialisers-mixed
// also: gcc-O2 clang-O0 clang-O2
// undo: no
#include "case.h"
#include <string>
#include <vector>

struct Loud {
    const char *name;
    int uses = 0;
    Loud(const char *n) : name(n) { made++; }
    ~Loud() { printf("gone %s\n", name); }
    static int made;
};
int Loud::made = 0;

static Loud first("first");
std::vector<std::string> words{"one", "two"};
static Loud last("last");

void step(void) {
    words.push_back("more");
    first.uses++;
    printf("words=%zu first=%d made=%d\n", words.size(), first.uses, Loud::made);
}

CASE_MAIN
