inline int ticket() {
    static int next = 1;
    return 1000 + next++;
}
struct Meter { int read() { return 20; } };
int second();
int third();
