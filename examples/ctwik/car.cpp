#include "model_details.hpp"
#include "car.hpp"

int Car::getPrice(int model) {
    ModelDetails m = getModelDetails(model);
    float discount = 0.2; // try another one
    return (int)(m.bestPrice() * (1 - discount));
}

int Car::method1(int x) {
    return x + 1;
}

int Car::method2(int x) {
    return x + 2;
}

int Car::method500(int x) {
    return x + 500;
}

int Car::method658(int x) {
    return x + 658;
}

int Car::method1000(int x) {
    return x + 1000;
}
