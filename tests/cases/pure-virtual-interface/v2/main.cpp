// case: an interface in a header, implementations in two units and their factory; one implementation and a new one change live
#include "case.h"
#include "iface.h"
#include <memory>
#include <vector>

static std::vector<std::unique_ptr<Iface>> all;

void step(void) {
    if (all.size() < 3) all.push_back(make_a());
    if (all.size() == 3) all.push_back(make_b());
    for (auto &i : all) printf("- %s\n", i->text().c_str());
}

CASE_MAIN
