#define PREFIX "two"
