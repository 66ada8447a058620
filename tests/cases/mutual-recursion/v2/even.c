int odd(int n);
int even(int n) {
    static int calls;
    calls++;
    return n == 0 ? calls * 100 : odd(n - 1) + 5;
}
