/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs at build time: turns seccomp.def into a program with libseccomp and prints it as an array,
 * so that the Sentry spends no time on it at start.
 */
#define _GNU_SOURCE
#include "moat/gofer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct row {
    const char *name;
    int nr;
    int arg; /* -1: always */
    unsigned long mask, value;
};

#define ALLOW(call, reason) {#call, __NR_##call, -1, 0, 0},
#define ALLOW_IF(call, number, mask_, value_, reason)                                              \
    {#call, __NR_##call, (number), (mask_), (value_)},
#define ALLOW_NR(number, reason) {#number, (number), -1, 0, 0},
static const struct row g_rows[] = {
#include "seccomp.def"
};

static void die(const char *what, int err) {
    (void)fprintf(stderr, "seccomp_gen: %s: %s\n", what, strerror(err));
    exit(1);
}

static void add_row(scmp_filter_ctx ctx, const struct row *r) {
    int err;
    if (r->arg < 0) {
        err = seccomp_rule_add_exact(ctx, SCMP_ACT_ALLOW, r->nr, 0);
    } else {
        struct scmp_arg_cmp cmp =
            SCMP_CMP((unsigned int)r->arg, SCMP_CMP_MASKED_EQ, r->mask, r->value);
        err = seccomp_rule_add_exact_array(ctx, SCMP_ACT_ALLOW, r->nr, 1, &cmp);
    }
    if (err != 0) {
        die(r->name, -err);
    }
}

int main(void) {
    static struct sock_filter code[4096];
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (ctx == NULL) {
        die("seccomp_init", ENOMEM);
    }
    for (size_t i = 0; i < sizeof(g_rows) / sizeof(g_rows[0]); i++) {
        add_row(ctx, &g_rows[i]);
    }
    /* by priority: two of three calls are ioctls of a listener */
    int err = seccomp_syscall_priority(ctx, __NR_ioctl, 255);
    err = err != 0 ? err : seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 1);
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (err != 0 || fd < 0 || (err = seccomp_export_bpf(ctx, fd)) != 0) {
        die("export", -err);
    }
    ssize_t len = pread(fd, code, sizeof(code), 0);
    printf("/* SPDX-License-Identifier: Apache-2.0 */\n/* Made from seccomp.def. */\n");
    printf("static struct sock_filter g_sentry_filter[] = {\n");
    for (ssize_t i = 0; i < len / (ssize_t)sizeof(code[0]); i++) {
        printf("    {0x%02x, %u, %u, 0x%08x},\n", code[i].code, code[i].jt, code[i].jf, code[i].k);
    }
    printf("};\n");
    return 0;
}
