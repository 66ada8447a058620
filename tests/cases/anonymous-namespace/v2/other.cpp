#include <cstdio>
namespace {
struct State { char c = 'q'; int second = 7; } state;
int helper(int x) { return x - state.second; }
int counter = 5;
}
void other(void);
void other(void) { printf("new other helper=%d counter=%d %c\n", helper(0), ++counter, state.c); }
