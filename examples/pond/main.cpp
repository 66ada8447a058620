// Prints a line every fifth of a second until it gets SIGTERM. Each line starts with the process id and the tick, so
// that anyone can see that it is still the same process and that no state was lost.
#include <csignal>
#include <cstdio>
#include <ctime>
#include <unistd.h>

#include "pond.hpp"

static volatile std::sig_atomic_t done = 0;

// What is inside the loop is a function of its own: a function that runs keeps its old code until it returns, and
// main never does.
static void frame(Pond &pond)
{
    step(pond);
    std::printf("%d %ld %s\n", static_cast<int>(getpid()), pond.tick, describe(pond).c_str());
    std::fflush(stdout);
}

int main()
{
    std::signal(SIGTERM, [](int) { done = 1; });
    Pond pond;
    pond.ducks = {{"Anna", 0}, {"Bert", 0}, {"Carl", 0}};
    while (!done) {
        frame(pond);
        timespec fifth = {0, 200'000'000};
        nanosleep(&fifth, nullptr);
    }
    std::printf("%d %ld good night\n", static_cast<int>(getpid()), pond.tick);
    return 0;
}
