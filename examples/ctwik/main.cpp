extern "C" {
    int printf(const char *__restrict __format, ...);
}
#include "car.hpp"

int main() {
    Car c;
    c.method658(56);
    printf("Price = %d\n", c.getPrice(6));
}
