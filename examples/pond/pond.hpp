// A pond with ducks: state that lives on the heap, in a static, and on the stack of main.
#pragma once

#include <string>
#include <vector>

constexpr int crumbs_per_throw = 3;

struct Duck {
    std::string name;
    int eaten;
};

struct Pond {
    std::vector<Duck> ducks;
    long tick = 0;
    int noise = 0;
};

// One moment in the life of the pond.
void step(Pond &pond);

// How it looks, as one line of text.
std::string describe(const Pond &pond);

inline int crumbs_now(const Pond &pond)
{
    return crumbs_per_throw + static_cast<int>(pond.tick % 2);
}
