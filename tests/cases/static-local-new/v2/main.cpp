// case: new function-local statics with constructors
#include "case.h"
#include <string>

struct Loud {
    std::string name;
    explicit Loud(const char *n) : name(n) {}
    ~Loud() { printf("gone %s\n", name.c_str()); }
};

template <typename T> static T &single(const char *name) {
    static T value(name);
    return value;
}

void step(void) {
    static int n;
    printf("n=%d\n", ++n);
    static Loud fresh("fresh");
    Loud &other = single<Loud>("of the template");
    if (n > 3) {
        static std::string late = fresh.name + " and late";
        printf("%s\n", n == 4 ? "late" : late.c_str());
    }
    printf("%zu %s\n", fresh.name.size(), other.name.c_str());
}

CASE_MAIN
