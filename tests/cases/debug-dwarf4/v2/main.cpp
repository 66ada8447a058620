// case: DWARF 4 with type units
#include "case.h"
#include <string>
#include <vector>

namespace { struct State { std::string text = "s"; int n = 3; } state; }
static std::vector<State> states;

void step(void) {
    static int local = 100;
    state.n++;
    states.push_back(state);
    printf("two %d %zu %d\n", state.n, states.size(), local++);
}

CASE_MAIN
