#define _GNU_SOURCE
#include "restart.h"

#include "signals.h"
#include "sys.h"

#include <errno.h>
#include <string.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

enum way { WAY_NONE, WAY_AGAIN, WAY_CONTINUE };

/* relive_restart: restart_syscall, its result in rax. relive_resume(registers): drops the newest signal frame and goes
 * back to relive_restart with the registers its caller had: rbx rbp r12 r13 r14 r15 rsp. */
__asm__(".text\n.type relive_restart,@function\nrelive_restart:\n\t.cfi_startproc\n"
        "\tmov $219,%eax\n\tsyscall\n"
        "relive_restart_after:\n\tret\n\t.cfi_endproc\n.size relive_restart,.-relive_restart\n"
        ".type relive_resume,@function\nrelive_resume:\n\t.cfi_startproc\n"
        "\tmov 0(%rdi),%rbx\n\tmov 8(%rdi),%rbp\n\tmov 16(%rdi),%r12\n\tmov 24(%rdi),%r13\n"
        "\tmov 32(%rdi),%r14\n\tmov 40(%rdi),%r15\n\tmov 48(%rdi),%rsp\n\tjmp relive_restart\n"
        "\t.cfi_endproc\n.size relive_resume,.-relive_resume\n");
long relive_restart(void);
void relive_resume(const uint64_t *registers) __attribute__((noreturn));
extern const char relive_restart_after[] __attribute__((visibility("hidden")));

/* The number of the call that ended just before rip: as seen from outside, or from the `mov $number,%eax` before it. */
static int call_number(const uint8_t *rip, const struct thread *was)
{
    if (was && was->sleeps && was->pc == (uint64_t)rip)
        return was->number;
    int32_t number = -1;
    if (rip[-7] == 0xb8)
        memcpy(&number, rip - 6, sizeof number);
    return number;
}

static enum way way_of(int number, ucontext_t *context, bool held)
{
    switch (number) {
    case SYS_pause:
    case SYS_select:
    case SYS_pselect6:
    case SYS_ppoll:
    case SYS_rt_sigtimedwait:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
        /* The last four count their time from the start again: late, as on a busy machine, but never an error. */
        return WAY_AGAIN;
    case SYS_poll:
        return held && (int)*context_register(context, REG_RDX) > 0 ? WAY_CONTINUE : WAY_AGAIN;
    case SYS_nanosleep:
        return held ? WAY_CONTINUE : WAY_AGAIN;
    case SYS_clock_nanosleep:
        return held && !(*context_register(context, REG_RSI) & TIMER_ABSTIME) ? WAY_CONTINUE : WAY_AGAIN;
    default:
        return WAY_NONE;
    }
}

void restart_interrupted(ucontext_t *context, const struct thread *was, bool held)
{
    uint64_t *rax = context_register(context, REG_RAX), *rip = context_register(context, REG_RIP);
    if (*rax != (uint64_t)-EINTR)
        return;
    const uint8_t *code = (const uint8_t *)*rip;
    if (*rip == (uint64_t)relive_restart_after) {
        uint64_t registers[7] = {
            *context_register(context, REG_RBX), *context_register(context, REG_RBP),
            *context_register(context, REG_R12), *context_register(context, REG_R13),
            *context_register(context, REG_R14), *context_register(context, REG_R15),
            *context_register(context, REG_RSP),
        };
        signal_set_mask(*(uint64_t *)&context->uc_sigmask);
        relive_resume(registers);
    }
    if (code[-2] != 0x0f || code[-1] != 0x05)
        return;
    int number = call_number(code, was);
    switch (way_of(number, context, held)) {
    case WAY_AGAIN:
        *rax = (uint64_t)number;
        *rip -= 2;
        break;
    case WAY_CONTINUE:
        signal_set_mask(*(uint64_t *)&context->uc_sigmask);
        *rax = (uint64_t)relive_restart();
        signal_block_all();
        break;
    case WAY_NONE:
        break;
    }
}
