/* SPDX-License-Identifier: Apache-2.0 */
/* vCPU threads: the per-CPU pointer, parking, the end; and entropy. */
#include "platform/hal/host.h"

#include <asm/prctl.h>
#include <errno.h>

void hal_cpu_set(void *cpu) {
    if (sys2(SYS_arch_prctl, ARCH_SET_GS, (long)cpu) != 0) {
        host_die("cannot set the per-CPU pointer");
    }
}

void hal_park(uint32_t *word, uint32_t value) {
    /* spurious and interrupted returns are the caller's to handle */
    (void)sys4(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, value, 0);
}

void hal_unpark(uint32_t *word, uint32_t count) {
    (void)sys3(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, count); /* nobody there is fine */
}

noreturn_fn void hal_exit(int status) {
    for (;;) {
        (void)sys1(SYS_exit_group, status); /* does not return */
    }
}

void hal_random(void *buf, size_t len) {
    char *p = buf;
    while (len != 0) {
        long n = sys3(SYS_getrandom, (long)p, (long)len, 0);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (n != -EINTR) {
            host_die("no entropy: %ld", n);
        }
    }
}
