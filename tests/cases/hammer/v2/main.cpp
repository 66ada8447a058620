// case: threads run the changed functions all the time, with exceptions and statics in them
#include "case.h"
#include <atomic>
#include <stdexcept>
#include <thread>
#include <cstdlib>
#include <vector>

enum { THREADS = 3 };
static std::atomic<long> rounds[THREADS];
static std::atomic<int> seen[THREADS];

__attribute__((noinline)) static int leaf(int x) {
    if (x % 64 == 0) throw std::runtime_error("leaf");
    int value = 2;
    __asm__ volatile("" : "+r"(value)); // not a constant to the callers
    return value;
}

__attribute__((noinline)) static int branch(int x) {
    static std::atomic<int> calls;
    calls++;
    try {
        return leaf(x);
    } catch (const std::exception &) {
        return 2;
    }
}

static void worker(int me) {
    for (int x = 0;; x++) {
        seen[me] = branch(x);
        rounds[me]++;
    }
}

void step(void) {
    int sum = 0;
    for (int i = 0; i < THREADS; i++) {
        long before = rounds[i];
        while (rounds[i] < before + 200) std::this_thread::yield();
        sum += seen[i];
    }
    printf("sum=%d\n", sum);
}

int main(void) {
    for (int i = 0; i < THREADS; i++) std::thread(worker, i).detach();
    while (case_next()) step();
    fflush(stdout);
    _Exit(0);
}
