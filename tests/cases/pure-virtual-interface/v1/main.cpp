// undo: no
// case: an interface in a header, implementations in two units and their factory; one implementation and a new one change live
// then: i0=impl-of-a,impl-of-a,impl-of-a,impl-of-a
// also: gcc-O2
#include "case.h"
#include "iface.h"
#include <memory>
#include <vector>

static std::vector<std::unique_ptr<Iface>> all;

void step(void) {
    if (all.empty()) all.push_back(make_a());
    if (all.size() == 1) all.push_back(make_b());
    for (unsigned i = 0; i < all.size(); i++) printf("i%u=%s\n", i, all[i]->text().c_str());
}

CASE_MAIN
