#include <functional>
void add_callback(std::function<int(int)> f);
int call_all(int x);
