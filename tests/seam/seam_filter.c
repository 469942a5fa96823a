/* SPDX-License-Identifier: Apache-2.0 */
/* The stubs' filter, run here instruction by instruction: what guest code and stub text may do,
 * call by call. */
#include "platform/systrap/internal.h"
#include "seam.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <string.h>

/* Classic BPF as far as the filter uses it (linux/bpf_common.h). */
static uint32_t run_filter(const struct sock_filter *code, uint32_t len,
                           const struct seccomp_data *data) {
    uint32_t a = 0;
    for (uint32_t pc = 0; pc < len; pc++) {
        const struct sock_filter *f = &code[pc];
        switch (f->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            CHECK(f->k <= sizeof(*data) - 4 && f->k % 4 == 0);
            memcpy(&a, (const char *)data + f->k, 4);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= f->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == f->k ? f->jt : f->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            pc += a >= f->k ? f->jt : f->jf;
            break;
        case BPF_RET | BPF_K:
            return f->k;
        default:
            CHECK(!"an instruction the filter does not use");
        }
    }
    CHECK(!"the filter ran over its end");
}

static struct sock_filter g_code[FILTER_MAX];
static uint32_t g_len;

static uint32_t verdict(uint64_t ip, int nr, uint32_t arch, uint64_t arg0, uint64_t arg1) {
    struct seccomp_data d = {
        .nr = nr, .arch = arch, .instruction_pointer = ip, .args = {arg0, arg1}};
    return run_filter(g_code, g_len, &d);
}

static uint32_t guest(int nr, uint64_t arg0, uint64_t arg1) {
    return verdict(0x400010, nr, AUDIT_ARCH_X86_64, arg0, arg1);
}

static uint32_t stub(const char *ip, int nr, uint64_t arg0) {
    return verdict(STUB_ADDR(ip), nr, AUDIT_ARCH_X86_64, arg0, 0);
}

static bool in_rows(int nr) {
    static const int rows[] = {
#define NOTIFY(call, reason) SYS_##call,
#define NOTIFY_FUTEX(op, reason)
#define ORDER(call, reason)
#include "platform/systrap/stub_calls.def"
#undef NOTIFY
#undef NOTIFY_FUTEX
#undef ORDER
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i] == nr) {
            return true;
        }
    }
    return false;
}

static void check_guest(void) {
    for (int nr = 0; nr < 600; nr++) {
        uint32_t want = in_rows(nr) ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_TRAP;
        if (nr != SYS_futex) {
            CHECK(guest(nr, 0, 0) == want);
        }
        CHECK(verdict(0x400010, nr, AUDIT_ARCH_I386, 0, 0) == SECCOMP_RET_TRAP);
        CHECK(guest(nr | 0x40000000, 0, 0) == SECCOMP_RET_TRAP); /* x32 */
    }
    CHECK(guest(-1, 0, 0) == SECCOMP_RET_TRAP && guest(STUB_NR_TRAP, 0, 0) == SECCOMP_RET_TRAP);
    for (uint32_t op = 0; op < 128; op++) {
        bool plain = op == 0 || op == 1 || op == 9 || op == 10;
        CHECK(guest(SYS_futex, 0, op) == (plain ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_TRAP));
        CHECK(guest(SYS_futex, 0, op | 0x180) == guest(SYS_futex, 0, op));
    }
    /* what must never be let go */
    static const int never[] = {SYS_execve,
                                SYS_clone,
                                SYS_clone3,
                                SYS_fork,
                                SYS_vfork,
                                SYS_ptrace,
                                SYS_mmap,
                                SYS_mprotect,
                                SYS_socket,
                                SYS_ioctl,
                                SYS_bpf,
                                SYS_io_uring_setup,
                                SYS_userfaultfd,
                                SYS_mount,
                                SYS_unshare,
                                SYS_setns,
                                SYS_seccomp,
                                SYS_prctl,
                                SYS_process_vm_writev,
                                SYS_rt_sigreturn};
    for (size_t i = 0; i < ARRAY_COUNT(never); i++) {
        CHECK(guest(never[i], 0, 0) == SECCOMP_RET_TRAP);
    }
    /* next to the text, and in the moved vDSO */
    CHECK(verdict(STUB_TEXT + STUB_TEXT_SIZE, SYS_munmap, AUDIT_ARCH_X86_64, 0, 0) ==
          SECCOMP_RET_TRAP);
    CHECK(verdict(STUB_VDSO + 0x800, SYS_clock_gettime, AUDIT_ARCH_X86_64, 0, 0) ==
          SECCOMP_RET_USER_NOTIF);
    CHECK(verdict(STUB_TEXT - 1, SYS_munmap, AUDIT_ARCH_X86_64, 0, 0) == SECCOMP_RET_TRAP);
}

static void check_stub(void) {
    static const int orders[] = {SYS_mmap, SYS_mprotect, SYS_munmap,     SYS_arch_prctl,
                                 SYS_exit, STUB_NR_TRAP, STUB_NR_REPORT, STUB_NR_BORN};
    for (int nr = 0; nr < 600; nr++) {
        bool ordered = false;
        for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
            ordered = ordered || orders[i] == nr;
        }
        CHECK(nr == SYS_clone || stub(stub_ip_order, nr, 0) ==
                                     (ordered ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_KILL_PROCESS));
        CHECK(nr == SYS_rt_sigreturn || nr == SYS_clone ||
              stub(stub_ip_sigreturn, nr, 0) == stub(stub_ip_order, nr, 0));
    }
    CHECK(stub(stub_ip_sigreturn, SYS_rt_sigreturn, 0) == SECCOMP_RET_ALLOW);
    CHECK(stub(stub_ip_trap, SYS_rt_sigreturn, 0) == SECCOMP_RET_KILL_PROCESS);
    CHECK(stub(stub_ip_trap, STUB_NR_TRAP, 0) == SECCOMP_RET_USER_NOTIF);
    CHECK(stub(stub_ip_order, SYS_clone, STUB_CLONE_PROCESS) == SECCOMP_RET_USER_NOTIF);
    CHECK(stub(stub_ip_order, SYS_clone, STUB_CLONE_THREAD) == SECCOMP_RET_USER_NOTIF);
    CHECK(stub(stub_ip_order, SYS_clone, 0) == SECCOMP_RET_KILL_PROCESS);
    CHECK(stub(stub_ip_order, SYS_clone, 0x10000000 | STUB_CLONE_PROCESS) ==
          SECCOMP_RET_KILL_PROCESS); /* CLONE_NEWUSER */
}

void seam_filter_test(void) {
    g_len = filter_build(g_code, false);
    check_guest();
    check_stub();
    g_len = filter_build(g_code, true);
    for (int nr = 0; nr < 600; nr++) {
        CHECK(guest(nr, 0, 0) == SECCOMP_RET_TRAP);
        CHECK(verdict(0x400010, nr, AUDIT_ARCH_I386, 0, 0) == SECCOMP_RET_TRAP);
    }
    check_stub();
}
