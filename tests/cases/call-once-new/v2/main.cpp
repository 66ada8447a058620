// case: the new code uses thread_local variables of libstdc++ for the first time
#include "case.h"
#include <future>
#include <mutex>
#include <thread>

static std::once_flag once;
static std::mutex mutex;

static int guarded(int x) {
    std::lock_guard<std::mutex> lock(mutex);
    return x * 2;
}

void step(void) {
    static int made;
    std::call_once(once, [] { made = 7; });
    int sum = 0;
    std::thread thread([&sum] { sum = guarded(20); });
    thread.join();
    auto later = std::async(std::launch::async, [] { return guarded(1); });
    printf("threads %d %d %d\n", sum, later.get(), made);
}

CASE_MAIN
