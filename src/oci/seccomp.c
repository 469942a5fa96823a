/* SPDX-License-Identifier: Apache-2.0 */
/* linux.seccomp as a filter: see seccomp.h.  libseccomp makes the program; seccomp(2) installs it.
 */
#include "oci/seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
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

void seccomp_program_free(struct seccomp_program *program) {
    free(program->code);
    *program = (struct seccomp_program){0};
}
