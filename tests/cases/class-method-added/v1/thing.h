class Thing {
public:
    int next() { return ++number; }
    int value() const { return number; }

private:
    int number = 10;
};
int other(const Thing &t);
