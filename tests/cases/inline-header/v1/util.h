static inline int next(void) {
    static int last = 0;
    return last += 1;
}
