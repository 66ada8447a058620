// case: a class gets a field while objects of it live on the heap: refused
// expect: refused:layout-changed
// also: gcc-O2
#include "case.h"
#include <memory>
#include <vector>

struct Particle {
    int x = 1;
    int y = 2;
    int sum() const { return x + y; }
};

static std::vector<std::unique_ptr<Particle>> all;

void step(void) {
    all.push_back(std::make_unique<Particle>());
    int sum = 0;
    for (auto &p : all) sum += p->sum();
    printf("sum=%d\n", sum);
}

CASE_MAIN
