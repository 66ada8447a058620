// case: new globals with constructors beside existing ones of the same unit: constructed once, the old ones never again
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
static Loud fresh("fresh");
std::vector<std::string> fresh_words{"alpha", "a string that is longer than the small buffer"};
static int computed = (int)fresh_words.size() * 10;

void step(void) {
    words.push_back("more");
    first.uses++;
    fresh.uses++;
    printf("fresh %s %s %d\n", fresh.name, fresh_words[1].c_str(), computed);
    printf("words=%zu first=%d made=%d\n", words.size(), first.uses, Loud::made);
}

CASE_MAIN
