#define LIMIT(x) ((x) * 3 + 1)
#define NAME "two"
