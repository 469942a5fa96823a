/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.seccomp of a config.json compiled to a classic BPF program by libseccomp, for the kernel
 * (isolation native) and for the application kernel, which interprets the same program.
 */
#ifndef MOAT_OCI_SECCOMP_H
#define MOAT_OCI_SECCOMP_H

#include "host/err.h"
#include "oci/spec.h"

#include <linux/filter.h>

struct seccomp_program {
    struct sock_filter *code; /* owned */
    uint16_t count;
    bool notify; /* some rule returns SECCOMP_RET_USER_NOTIF */
};

/*
 * Compiles; names of system calls that this libseccomp does not know are skipped, as engines'
 * profiles name calls of newer kernels.  0 or -errno with *err.
 */
must_check int seccomp_compile(const struct oci_seccomp *s, struct seccomp_program *out,
                               struct err *err);
/* Installs it on the calling thread with s->flags; *out_listener gets the descriptor of a notify
 * program, else -1.  Needs no_new_privs or CAP_SYS_ADMIN. */
must_check int seccomp_install(const struct oci_seccomp *s, const struct seccomp_program *program,
                               int *out_listener, struct err *err);
/* What the program decides about a system call of this architecture (SECCOMP_RET_* with its data).
 */
uint32_t seccomp_decide(const struct seccomp_program *program, int number, uint64_t first_arg);
void seccomp_program_free(struct seccomp_program *program);

#endif
