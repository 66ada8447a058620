#include <stdexcept>
inline int ticket() {
    static int next = 1;
    return next++;
}
template <typename T> T twice(T x) { return x * 2; }
struct Problem : std::runtime_error {
    int code;
    explicit Problem(int c) : std::runtime_error("problem"), code(c) {}
};
int from_library();
void throwing(int x);
