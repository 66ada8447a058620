#define VALUE 20
