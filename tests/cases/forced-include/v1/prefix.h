#define PREFIX "one"
