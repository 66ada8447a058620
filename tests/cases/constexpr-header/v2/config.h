constexpr int limit = 9;
constexpr int square(int x) { return x * x; }
