#include "pond.hpp"

// Counts every crumb since the program was started; a reload must not touch it.
static long crumbs_thrown = 0;

static void feed(Duck &duck, int crumbs)
{
    duck.eaten += crumbs;
}

void step(Pond &pond)
{
    ++pond.tick;
    int crumbs = crumbs_now(pond);
    crumbs_thrown += crumbs;
    feed(pond.ducks[static_cast<unsigned long>(pond.tick) % pond.ducks.size()], crumbs);
}
