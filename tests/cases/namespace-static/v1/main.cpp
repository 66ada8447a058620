// case: statics of the same name in two namespaces and as a class member; an overload beside a variable
// also: clang-O0
#include "case.h"

namespace red { static int value = 1; static int next() { return value++; } }
namespace blue { static int value = 100; static int next() { return value++; } }
struct Green { static int value; static int next() { return value++; } };
int Green::value = 1000;

void step(void) { printf("%d %d %d\n", red::next(), blue::next(), Green::next()); }

CASE_MAIN
