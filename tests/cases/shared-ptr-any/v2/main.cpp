// case: identity by address: std::any, make_shared, typeid and std::function::target made by old code, asked by new code
#include "case.h"
#include <any>
#include <functional>
#include <memory>
#include <string>
#include <typeindex>

static std::any any;
static std::shared_ptr<std::string> shared;
static std::function<int(int)> function;
static int plain(int x) { return x; }

void step(void) {
    if (!any.has_value()) {
        any = std::string("a string in an any");
        shared = std::make_shared<std::string>("shared");
        function = plain;
    }
    if (shared) printf("%zu %ld %d %d\n", std::any_cast<std::string>(&any)->size(), shared.use_count(), function.target<int (*)(int)>() != nullptr, *function.target<int (*)(int)>() == plain);
}

CASE_MAIN
