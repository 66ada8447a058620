#define VALUE 10
