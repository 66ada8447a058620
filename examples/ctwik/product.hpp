#pragma once

class Product {
public:
    int aa;
};
