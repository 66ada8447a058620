extern const int limits[3];
const int limits[3] = {1, 2, 3};
