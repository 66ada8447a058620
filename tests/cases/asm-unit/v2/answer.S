        .text
        .globl  asm_answer
        .type   asm_answer, @function
asm_answer:
        leal    90(%rdi), %eax
        nopl    0(%rax)
        ret
        .size   asm_answer, .-asm_answer
        .section .note.GNU-stack,"",@progbits
