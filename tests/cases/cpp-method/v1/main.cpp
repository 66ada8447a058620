// case: methods, const overloads, static members, operators; objects that live keep their fields
// also: clang-O2
#include "case.h"

class Account {
public:
    void add(int x) { balance += x; total += x; }
    int value() const;
    int &value() { return balance; }
    Account operator+(const Account &o) const;
    static int total;

private:
    int balance = 10;
};

int Account::total = 1000;
int Account::value() const { return balance; }
Account Account::operator+(const Account &o) const { Account r; r.balance = balance + o.balance; return r; }

static Account account;

void step(void) {
    account.add(5);
    const Account sum = account + account;
    printf("value=%d total=%d\n", account.value(), Account::total);
    printf("sum=%d\n", sum.value());
}

CASE_MAIN
