// case: an enum class gets an enumerator and another order; tables and switches over it follow
// expect: applied|refused:layout-changed
// also: gcc-O2
#include "case.h"
#include "mode.h"
#include <array>

static constexpr std::array<const char *, 3> names{"off", "on", "auto"};

const char *describe(Mode m) {
    switch (m) {
    case Mode::off: return "is off";
    case Mode::on: return "is on";
    default: return "is something else";
    }
}

void step(void) {
    for (Mode m : {Mode::off, Mode::on, Mode::automatic}) printf("%d %s %s\n", static_cast<int>(m), names[static_cast<int>(m) % 3], describe(m));
}

CASE_MAIN
