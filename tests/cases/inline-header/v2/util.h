static inline int next(void) {
    static int last = 0;
    last += 1; return last + 1000;
}
