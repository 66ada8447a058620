class Value {
public:
    explicit Value(int n) : n_(n) {}
    int get() const { return n_ + 1000; }
    int twice() const { return get() + get(); }
private:
    int n_;
};
int far_away(const Value &v);
