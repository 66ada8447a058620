#pragma once
#include "product.hpp"

class Car : public Product {
public:
    int getPrice(int model);
    int method1(int x);
    int method2(int x);
    int method500(int x);
    int method658(int x);
    int method1000(int x);
};
