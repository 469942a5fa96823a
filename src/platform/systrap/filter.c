/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp filter of the stubs.  It allows exactly one thing by itself: rt_sigreturn at its one
 * instruction in the stub text.  Every other call is a notification, answered by the Sentry, or a
 * SIGSYS for the calls that need the full context.  The instruction pointer is tested first: then
 * installing costs a tenth (design section 2a).
 */
#include "platform/systrap/internal.h"

#include <linux/audit.h>
#include <linux/filter.h>

#define NR_RT_SIGRETURN 15

#define LD(off)         ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (off)))
#define JEQ(k, yes, no) ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), (yes), (no)))
#define RET(what)       ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (what)))
#define DATA(field)     ((uint32_t)offsetof(struct seccomp_data, field))
#define IP_LOW          DATA(instruction_pointer)
#define IP_HIGH         (DATA(instruction_pointer) + 4)

struct call_row {
    uint16_t nr;
    bool context;
};

static const struct call_row g_calls[] = {
#define PLAIN                                           false
#define CONTEXT                                         true
#define SYSCALL(nr, name, flags, support, format, note) {(nr), (flags)},
#define SYSCALL_NONE(nr, name)
#include "sentry/arch/x86_64/syscalls.def"
#undef SYSCALL
#undef SYSCALL_NONE
#undef PLAIN
#undef CONTEXT
};

/* Calls made outside the stub text.  A foreign architecture is a notification, which is answered
 * ENOSYS. */
static uint32_t filter_guest_calls(struct sock_filter *out, bool trap_only) {
    uint32_t n = 0, count = 0;
    if (trap_only) {
        out[n++] = RET(SECCOMP_RET_TRAP);
        return n;
    }
    for (size_t i = 0; i < ARRAY_COUNT(g_calls); i++) {
        count += g_calls[i].context ? 1u : 0u;
    }
    out[n++] = LD(DATA(arch));
    out[n++] = JEQ(AUDIT_ARCH_X86_64, 0, (uint8_t)(count + 1)); /* to the notification */
    out[n++] = LD(DATA(nr));
    for (size_t i = 0, done = 0; i < ARRAY_COUNT(g_calls); i++) {
        if (g_calls[i].context) {
            out[n++] = JEQ(g_calls[i].nr, (uint8_t)(count - done), 0); /* to the trap */
            done++;
        }
    }
    out[n++] = RET(SECCOMP_RET_USER_NOTIF);
    out[n++] = RET(SECCOMP_RET_TRAP);
    return n;
}

uint32_t filter_build(struct sock_filter *out, bool trap_only) {
    uint32_t n = 0;
    out[n++] = LD(IP_HIGH);
    out[n++] = JEQ((uint32_t)(STUB_TEXT >> 32), 0, 7); /* 7: to the guest's calls */
    out[n++] = LD(IP_LOW);
    out[n++] = ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K,
                                             (uint32_t)STUB_TEXT + STUB_TEXT_SIZE, 5, 0));
    out[n++] = JEQ((uint32_t)STUB_ADDR(stub_ip_sigreturn), 0, 2);
    out[n++] = LD(DATA(nr));
    out[n++] = JEQ(NR_RT_SIGRETURN, 1, 0);
    out[n++] = RET(SECCOMP_RET_USER_NOTIF);
    out[n++] = RET(SECCOMP_RET_ALLOW);
    return n + filter_guest_calls(out + n, trap_only);
}
