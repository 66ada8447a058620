#pragma once

class ModelDetails {
public:
    int cost;
    int margin;
    int bestPrice();
};

ModelDetails getModelDetails(int model);
