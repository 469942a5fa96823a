/* SPDX-License-Identifier: Apache-2.0 */
/* What the Sentry gives up before it runs anything of a guest. */
#include "platform/hal/host.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "sentry_filter.h" /* made from seccomp.def at build time */

void host_privileges_drop(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2];
    struct rlimit core = {0, 0}, files;
    memset(none, 0, sizeof(none));
    for (int cap = 0; sys2(SYS_prctl, PR_CAPBSET_DROP, cap) == 0; cap++) {
    }
    (void)sys4(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0); /* none is fine */
    if (sys5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        sys2(SYS_capset, (long)&header, (long)none) != 0) {
        host_die("cannot drop privileges");
    }
    /* dumpable is off as well */
    (void)sys4(SYS_prlimit64, 0, RLIMIT_CORE, (long)&core, 0);
    if (sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&files) == 0) {
        files.rlim_cur = MIN(files.rlim_max, (rlim_t)HOST_FD_MAX);
        (void)sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&files, 0); /* fewer descriptors then */
    }
    if (sys2(SYS_prctl, PR_SET_DUMPABLE, 0) != 0) {
        host_die("cannot become undumpable");
    }
}

int host_confine(void) {
    struct sock_fprog program = {.len = (unsigned short)ARRAY_COUNT(g_sentry_filter),
                                 .filter = g_sentry_filter};
    long err =
        sys3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, (long)&program);
    return err > 0 ? -EBUSY : (int)err; /* positive: a thread that has a filter of its own */
}
