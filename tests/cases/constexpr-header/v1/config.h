constexpr int limit = 4;
constexpr int square(int x) { return x * x; }
