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
#include <sys/stat.h>
#include <unistd.h>

enum client { CLIENT_ANY, CLIENT_CHANNEL, CLIENT_VHOST };

struct row {
    const char *call;
    enum client client;
    bool change;
    int arg; /* -1: always */
    unsigned long mask, value;
};

#define ROW(call, client, change)          {#call, client, change, -1, 0, 0},
#define ROW_IF(call, client, change, cond) {#call, client, change, cond},
#define COND(number, mask, value)          number, mask, value

#define READ(call, reason)         ROW(call, CLIENT_ANY, false)
#define CHANGE(call, reason)       ROW(call, CLIENT_ANY, true)
#define VHOST(call, reason)        ROW(call, CLIENT_VHOST, false)
#define VHOST_CHANGE(call, reason) ROW(call, CLIENT_VHOST, true)
#define READ_IF(call, number, mask, value, reason)                                                 \
    ROW_IF(call, CLIENT_ANY, false, COND(number, mask, value))
#define CHANNEL_IF(call, number, mask, value, reason)                                              \
    ROW_IF(call, CLIENT_CHANNEL, false, COND(number, mask, value))
#define VHOST_CHANGE_IF(call, number, mask, value, reason)                                         \
    ROW_IF(call, CLIENT_VHOST, true, COND(number, mask, value))
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

static void print_filter(const char *name, enum client client, bool change) {
    static struct sock_filter code[4096];
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (ctx == NULL) {
        die("seccomp_init", ENOMEM);
    }
    for (size_t i = 0; i < sizeof(g_rows) / sizeof(g_rows[0]); i++) {
        bool meant = g_rows[i].client == CLIENT_ANY || g_rows[i].client == client;
        if (meant && (change || !g_rows[i].change)) {
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
    print_filter("g_filter_ro", CLIENT_CHANNEL, false);
    print_filter("g_filter_rw", CLIENT_CHANNEL, true);
    print_filter("g_filter_vhost_ro", CLIENT_VHOST, false);
    print_filter("g_filter_vhost_rw", CLIENT_VHOST, true);
    return 0;
}
