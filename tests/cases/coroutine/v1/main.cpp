// case: a coroutine that is suspended in old code resumes; its frame keeps its layout
// flags: -std=c++20
// never: clang-O0 clang-O2
// also: gcc-O2
#include "case.h"
#include <coroutine>

struct Generator {
    struct promise_type {
        int value = 0;
        Generator get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(int v) { value = v; return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
    std::coroutine_handle<promise_type> handle;
};

static int weight(int n) { return n; }

static Generator numbers(int start) {
    for (int n = start;; n++) co_yield weight(n);
}

static Generator *kept;

void step(void) {
    if (!kept) kept = new Generator(numbers(10));
    kept->handle.resume();
    printf("number=%d\n", kept->handle.promise().value);
}

CASE_MAIN
