// case: an overridden virtual function changes; called on live objects through base pointers
// also: clang-O0
#include "case.h"
#include <memory>
#include <vector>

struct Shape {
    virtual ~Shape() = default;
    virtual int area() const = 0;
    virtual const char *name() const { return "shape"; }
};
struct Square : Shape {
    int side = 3;
    int area() const override { return side * side; }
    const char *name() const override { return "square"; }
};
struct Line : Shape {
    int area() const override { return 0; }
};

static std::vector<std::unique_ptr<Shape>> shapes;

void step(void) {
    if (shapes.empty()) {
        shapes.push_back(std::make_unique<Square>());
        shapes.push_back(std::make_unique<Line>());
    }
    for (auto &s : shapes) printf("%s %d\n", s->name(), s->area());
}

CASE_MAIN
