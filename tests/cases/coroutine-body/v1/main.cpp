// case: the body of a coroutine changes while one is suspended: new ones are new, the suspended one goes on or the edit is refused
// expect: applied|refused
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
    ~Generator() { handle.destroy(); }
};

static Generator numbers(int start) {
    for (int n = start;; n++) co_yield n;
}

void step(void) {
    Generator fresh{numbers(10)};
    fresh.handle.resume();
    fresh.handle.resume();
    printf("number=%d\n", fresh.handle.promise().value);
}

CASE_MAIN
