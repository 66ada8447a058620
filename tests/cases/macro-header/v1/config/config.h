#define LIMIT(x) ((x) * 2)
#define NAME "one"
