#define SIZE 5
