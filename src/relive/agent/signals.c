#define _GNU_SOURCE
#include "signals.h"

#include "sys.h"

#define SA_RESTORER_FLAG 0x04000000ul

__asm__(".text\n.globl relive_restorer\n.hidden relive_restorer\n.type relive_restorer,@function\nrelive_restorer:\n"
        "\t.byte 0x48,0xc7,0xc0,0x0f,0x00,0x00,0x00\n" /* mov $15 (rt_sigreturn), %rax */
        "\tsyscall\n.size relive_restorer,.-relive_restorer\n");

bool signal_query(int number, struct kernel_action *now)
{
    return SYS(SYS_rt_sigaction, number, NULL, now, 8) == 0;
}

bool signal_install(int number, void (*handler)(int, siginfo_t *, void *), uint64_t mask, struct kernel_action *old)
{
    struct kernel_action action = {handler, SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_RESTORER_FLAG, relive_restorer,
                                   mask};
    struct kernel_action before;
    if (!signal_query(number, &before))
        return false;
    if (before.handler != handler)
        *old = before; /* first, as the new handler may run at once and want to hand on */
    return SYS(SYS_rt_sigaction, number, &action, NULL, 8) == 0;
}

bool signal_restore(int number, const struct kernel_action *old)
{
    return SYS(SYS_rt_sigaction, number, old, NULL, 8) == 0;
}

uint64_t signal_block_all(void)
{
    uint64_t all = ~LIBC_SIGNALS, before = 0;
    SYS(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    return before;
}

void signal_set_mask(uint64_t mask)
{
    SYS(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
}

void signal_chain(int number, const struct kernel_action *old, siginfo_t *info, ucontext_t *context)
{
    void (*handler)(int, siginfo_t *, void *) = old->handler;
    bool sent = info->si_code <= 0; /* by kill and the like, not by the instruction itself */
    if ((void *)handler == (void *)SIG_IGN && sent)
        return;
    if ((void *)handler == (void *)SIG_DFL || (void *)handler == (void *)SIG_IGN) {
        /* The default for these signals is death with a core file: let the kernel do it, from here. */
        struct kernel_action action = {0};
        uint64_t mask = 1ull << (number - 1);
        signal_restore(number, &action);
        SYS(SYS_tgkill, SYS(SYS_getpid, 0), SYS(SYS_gettid, 0), number);
        SYS(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, 8);
        return;
    }
    uint64_t mask = *(uint64_t *)&context->uc_sigmask | old->mask;
    if (!(old->flags & SA_NODEFER))
        mask |= 1ull << (number - 1);
    signal_set_mask(mask);
    handler(number, info, context);
    signal_block_all();
}
