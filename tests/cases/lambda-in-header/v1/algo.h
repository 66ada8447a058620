inline int run(int n) {
    auto count = [](auto x) {
        static int calls = 0;
        return x + ++calls;
    };
    auto recurse = [&](auto self, int k) -> int { return k == 0 ? count(100) : self(self, k - 1) + k; };
    return recurse(recurse, n);
}
