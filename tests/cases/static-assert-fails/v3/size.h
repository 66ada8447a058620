#define SIZE 6
