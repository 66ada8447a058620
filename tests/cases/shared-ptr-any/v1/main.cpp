// case: identity by address: std::any, make_shared, typeid and std::function::target made by old code, asked by new code
// also: gcc-O2
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
    puts("stored");
}

CASE_MAIN
