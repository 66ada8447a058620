// case: top-level asm defines a function; it stays as it is while the C code around it changes
// expect: applied|refused
// also: gcc-O2
#include "case.h"

__asm__(".text\n.globl asm_twice\n.type asm_twice, @function\nasm_twice:\n\tleal (%rdi,%rdi), %eax\n\tret\n.size asm_twice, .-asm_twice\n");
int asm_twice(int x);

void step(void) { printf("twice=%d\n", asm_twice(4)); }

CASE_MAIN
