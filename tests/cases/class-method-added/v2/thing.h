class Thing {
public:
    struct Nested { int a = 1, b = 2; };
    int next() { return ++number; }
    int value() const { return number; }
    int fresh() const { return value() * scale + Nested().b; }
    friend int other(const Thing &t);
    static int scale;

private:
    int number = 10;
};
int other(const Thing &t);
