void greet(const char *who = "everyone", int times = 3);
void other();
