struct shape { int depth, width, height; };
int area(const struct shape *s);
