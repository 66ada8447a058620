inline int ticket() {
    static int next = 1;
    return next++;
}
struct Meter { int read() { return 10; } };
int second();
int third();
