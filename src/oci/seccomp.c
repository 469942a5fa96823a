/* SPDX-License-Identifier: Apache-2.0 */
/* linux.seccomp as a filter: see seccomp.h.  libseccomp makes the program; seccomp(2) installs it.
 */
#include "oci/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int seccomp_install(const struct oci_seccomp *s, const struct seccomp_program *program,
                    int *out_listener, struct err *err) {
    const struct sock_fprog prog = {.len = program->count, .filter = program->code};
    unsigned int flags = s->flags | (program->notify ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
    *out_listener = -1;
    if (program->notify) {
        flags &= ~(unsigned int)SECCOMP_FILTER_FLAG_TSYNC; /* one thread; both at once is refused */
    }
    long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    if (r < 0 && errno == ENOSYS && flags == 0) {
        r = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
    }
    if (r < 0) {
        return err_sys(err, -errno, "linux.seccomp: the kernel refuses the filter (flags %#x)",
                       flags);
    }
    *out_listener = program->notify ? (int)r : -1;
    return 0;
}

/* The instructions that seccomp_compile makes, as the kernel runs them. */
uint32_t seccomp_decide(const struct seccomp_program *program, int number, uint64_t first_arg) {
    const struct seccomp_data data = {.nr = number, .arch = AUDIT_ARCH_X86_64, .args = {first_arg}};
    uint32_t a = 0;
    for (size_t pc = 0; pc < program->count; pc++) {
        const struct sock_filter *f = &program->code[pc];
        bool yes = f->code == (BPF_JMP | BPF_JEQ | BPF_K)   ? a == f->k
                   : f->code == (BPF_JMP | BPF_JGT | BPF_K) ? a > f->k
                                                            : a >= f->k;
        switch (BPF_CLASS(f->code)) {
        case BPF_LD:
            memcpy(&a, (const char *)&data + f->k, sizeof(a));
            break;
        case BPF_ALU:
            a &= f->k;
            break;
        case BPF_RET:
            return f->k;
        default:
            pc += f->code == (BPF_JMP | BPF_JA) ? f->k : yes ? f->jt : f->jf;
        }
    }
    return SECCOMP_RET_KILL_PROCESS; /* the kernel takes no program that ends otherwise */
}

void seccomp_program_free(struct seccomp_program *program) {
    free(program->code);
    *program = (struct seccomp_program){0};
}
