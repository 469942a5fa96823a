/* SPDX-License-Identifier: Apache-2.0 */
/* linux.seccomp as a filter: see seccomp.h.  libseccomp makes the program; seccomp(2) installs it.
 */
#include "oci/seccomp.h"

#include "host/cleanup.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libseccomp ands the arguments of one rule, and takes each argument once; a list that names one
 * twice means alternatives, as engines' profiles use it. */
static bool names_twice(const struct oci_seccomp_rule *rule) {
    uint32_t seen = 0;
    for (size_t i = 0; i < rule->arg_count; i++) {
        if ((seen & 1u << rule->args[i].index) != 0) {
            return true;
        }
        seen |= 1u << rule->args[i].index;
    }
    return false;
}

static struct scmp_arg_cmp compare(const struct oci_seccomp_arg *a) {
    return (struct scmp_arg_cmp){.arg = a->index,
                                 .op = (enum scmp_compare)a->op,
                                 .datum_a = a->value,
                                 .datum_b = a->value_two};
}

static int add_call(scmp_filter_ctx ctx, const struct oci_seccomp_rule *rule, int number) {
    struct scmp_arg_cmp args[6];
    int e = 0;
    if (names_twice(rule)) {
        for (size_t i = 0; i < rule->arg_count && e == 0; i++) {
            args[0] = compare(&rule->args[i]);
            e = seccomp_rule_add_array(ctx, rule->action, number, 1, args);
        }
        return e;
    }
    for (size_t i = 0; i < rule->arg_count; i++) {
        args[i] = compare(&rule->args[i]);
    }
    return seccomp_rule_add_array(ctx, rule->action, number, (unsigned int)rule->arg_count, args);
}

static int add_rule(scmp_filter_ctx ctx, const struct oci_seccomp *s, size_t index,
                    struct err *err) {
    const struct oci_seccomp_rule *rule = &s->rules[index];
    if (rule->action == s->default_action) {
        return 0; /* says nothing, and libseccomp refuses it */
    }
    if (rule->arg_count > 6) {
        return err_set(err, -EINVAL, "linux.seccomp.syscalls[%zu].args has more than six", index);
    }
    for (size_t i = 0; i < rule->names.count; i++) {
        int number = seccomp_syscall_resolve_name(rule->names.items[i]);
        if (number == __NR_SCMP_ERROR) {
            continue; /* see seccomp.h */
        }
        int e = add_call(ctx, rule, number);
        if (e != 0) {
            return err_sys(err, e, "linux.seccomp.syscalls[%zu]: cannot add the rule for %s", index,
                           rule->names.items[i]);
        }
    }
    return 0;
}

static int fill(scmp_filter_ctx ctx, const struct oci_seccomp *s, struct err *err) {
    for (size_t i = 0; i < s->architecture_count; i++) {
        int e = seccomp_arch_add(ctx, s->architectures[i]);
        if (e != 0 && e != -EEXIST) {
            return err_sys(err, e, "linux.seccomp.architectures[%zu]", i);
        }
    }
    /* A binary tree over the numbers; older libraries have no such attribute, and need none. */
    (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    int e = 0;
    for (size_t i = 0; i < s->rule_count && e == 0; i++) {
        e = add_rule(ctx, s, i, err);
    }
    return e;
}

static int export(scmp_filter_ctx ctx, struct seccomp_program *out, struct err *err) {
    struct stat st;
    cleanup_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
    int e = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);
    if (e == 0 && fstat(fd, &st) != 0) {
        e = -errno;
    }
    if (e != 0) {
        return err_sys(err, e, "linux.seccomp: cannot compile the filter");
    }
    size_t count = (size_t)st.st_size / sizeof(struct sock_filter);
    if (count == 0 || count > BPF_MAXINSNS) {
        return err_set(err, -E2BIG, "linux.seccomp: the filter has %zu instructions, limit %d",
                       count, BPF_MAXINSNS);
    }
    out->code = malloc((size_t)st.st_size);
    if (out->code == NULL || pread(fd, out->code, (size_t)st.st_size, 0) != st.st_size) {
        return err_sys(err, -ENOMEM, "linux.seccomp");
    }
    out->count = (uint16_t)count;
    return 0;
}

int seccomp_compile(const struct oci_seccomp *s, struct seccomp_program *out, struct err *err) {
    *out = (struct seccomp_program){0};
    scmp_filter_ctx ctx = seccomp_init(s->default_action);
    if (ctx == NULL) {
        return err_set(err, -EINVAL, "linux.seccomp.defaultAction is not known here");
    }
    int e = fill(ctx, s, err);
    e = e != 0 ? e : export(ctx, out, err);
    seccomp_release(ctx);
    for (size_t i = 0; i < s->rule_count; i++) {
        out->notify = out->notify || s->rules[i].action == SCMP_ACT_NOTIFY;
    }
    if (e != 0) {
        seccomp_program_free(out);
    }
    return e;
}

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
