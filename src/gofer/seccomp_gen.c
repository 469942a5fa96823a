/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs at build time: turns seccomp.def into two programs with libseccomp and prints them as
 * arrays, so that the Gofer spends no time on it at start.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct row {
    const char *call;
    bool change;
    int arg; /* -1: always */
    unsigned long mask, value;
};

#define READ(call, reason)                         {#call, false, -1, 0, 0},
#define CHANGE(call, reason)                       {#call, true, -1, 0, 0},
#define READ_IF(call, number, mask, value, reason) {#call, false, number, mask, value},
static const struct row g_rows[] = {
#include "seccomp.def"
};

static void die(const char *what, int err) {
    (void)fprintf(stderr, "seccomp_gen: %s: %s\n", what, strerror(err));
    exit(1);
}

static int call_number(const char *name) {
    int nr = seccomp_syscall_resolve_name(name);
    if (nr == __NR_SCMP_ERROR && strcmp(name, "fchmodat2") == 0) {
        nr = 452; /* younger than this libseccomp */
    }
    if (nr < 0) {
        die(name, ENOENT);
    }
    return nr;
}

static void add_row(scmp_filter_ctx ctx, const struct row *r) {
    int err;
    if (r->arg < 0) {
        err = seccomp_rule_add_exact(ctx, SCMP_ACT_ALLOW, call_number(r->call), 0);
    } else {
        struct scmp_arg_cmp cmp =
            SCMP_CMP((unsigned int)r->arg, SCMP_CMP_MASKED_EQ, r->mask, r->value);
        err = seccomp_rule_add_exact_array(ctx, SCMP_ACT_ALLOW, call_number(r->call), 1, &cmp);
    }
    if (err != 0) {
        die(r->call, -err);
    }
}

static void print_filter(const char *name, bool change) {
    static struct sock_filter code[4096];
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (ctx == NULL) {
        die("seccomp_init", ENOMEM);
    }
    for (size_t i = 0; i < sizeof(g_rows) / sizeof(g_rows[0]); i++) {
        if (change || !g_rows[i].change) {
            add_row(ctx, &g_rows[i]);
        }
    }
    int err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (err != 0 || fd < 0 || (err = seccomp_export_bpf(ctx, fd)) != 0) {
        die("export", -err);
    }
    ssize_t len = pread(fd, code, sizeof(code), 0);
    printf("static struct sock_filter %s[] = {\n", name);
    for (ssize_t i = 0; i < len / (ssize_t)sizeof(code[0]); i++) {
        printf("    {0x%02x, %u, %u, 0x%08x},\n", code[i].code, code[i].jt, code[i].jf, code[i].k);
    }
    printf("};\n");
    seccomp_release(ctx);
    (void)close(fd); /* read */
}

int main(void) {
    printf("/* SPDX-License-Identifier: Apache-2.0 */\n/* Made from seccomp.def. */\n");
    print_filter("g_filter_ro", false);
    print_filter("g_filter_rw", true);
    return 0;
}
