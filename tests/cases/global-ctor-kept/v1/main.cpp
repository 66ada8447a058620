// case: globals with constructors, external, static and in a namespace, are not constructed again
// also: gcc-O2
#include "case.h"
#include <map>
#include <string>
#include <vector>

struct Loud {
    int n;
    Loud(int start) : n(start) { printf("made %d\n", start); }
    ~Loud() { printf("gone %d\n", n); }
};

std::vector<int> numbers{1, 2, 3};
static std::map<std::string, int> ages{{"ada", 36}};
namespace deep { namespace down { Loud loud(5); } }

void step(void) {
    numbers.push_back(static_cast<int>(numbers.size()));
    ages["n" + std::to_string(numbers.size())]++;
    deep::down::loud.n++;
    printf("numbers=%zu ages=%zu loud=%d\n", numbers.size(), ages.size(), deep::down::loud.n);
}

CASE_MAIN
