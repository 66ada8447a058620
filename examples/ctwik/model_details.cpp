#include "model_details.hpp"

int ModelDetails::bestPrice() {
    return cost + cost * margin / 100;
}

ModelDetails getModelDetails(int model) {
    ModelDetails m = {model * 100, 22};
    return m;
}
