#include "pond.hpp"

std::string describe(const Pond &pond)
{
    std::string line = std::to_string(pond.ducks.size()) + " ducks";
    for (const Duck &duck : pond.ducks)
        line += ", " + duck.name + " " + std::to_string(duck.eaten);
    return line;
}
