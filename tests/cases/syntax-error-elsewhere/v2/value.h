#define VALUE 2
#define BROKEN
