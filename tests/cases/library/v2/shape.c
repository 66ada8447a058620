#include "shape.h"
int shape_total = 1;
static int calls;
const char *shape_name(void) { return "cube"; }
int shape_area(int side) {
    calls++;
    shape_total += side;
    return shape_detail(side * side * side) + shape_total + calls * 100000;
}
