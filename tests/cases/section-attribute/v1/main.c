// case: functions and variables in sections of the user's own names
// also: clang-O2
#include "case.h"

__attribute__((section(".my_text"))) int special(int x) { return x + 1; }
__attribute__((section("my_data"))) int counter = 10;
__attribute__((section("my_table"), used)) static int row_a = 1;
__attribute__((section("my_table"), used)) static int row_b = 2;
extern int __start_my_table[], __stop_my_table[];

void step(void) {
    int sum = row_a + row_b;
    for (int *row = __start_my_table; row < __stop_my_table; row++) sum += *row;
    printf("special=%d counter=%d sum=%d\n", special(1), counter++, sum);
}

CASE_MAIN
