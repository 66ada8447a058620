#include "registry.h"
#include <vector>
static std::vector<std::function<int(int)>> callbacks;
void add_callback(std::function<int(int)> f) { callbacks.push_back(std::move(f)); }
int call_all(int x) {
    int sum = 0;
    for (auto &f : callbacks) sum = sum * 100 + f(x);
    return sum;
}
