template <typename T> T scale(T x) {
    static T uses = 0;
    uses = static_cast<T>(uses + 1);
    return static_cast<T>(x * 10 + uses);
}
