void greet(const char *who = "world", int times = 1);
void other();
