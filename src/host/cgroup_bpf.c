/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device rules of a cgroup v2 group: a program of type BPF_PROG_TYPE_CGROUP_DEVICE (linux/bpf.h,
 * struct bpf_cgroup_dev_ctx), attached beside those of the groups above, all of which must agree.
 *
 * The program walks the rules from the last to the first and keeps in r3 the bits of access that no
 * rule has decided yet: a denying rule that meets one of them ends with 0, an allowing one takes
 * its bits away and ends with 1 when none is left.
 */
#include "host/cgroup_internal.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define INSNS_PER_RULE 9u
#define INSNS_FRAME    8u

struct program {
    struct bpf_insn *insns;
    size_t count;
};

static size_t emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int16_t off,
                   int32_t imm) {
    p->insns[p->count] =
        (struct bpf_insn){.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
    return p->count++;
}

static void emit_return(struct program *p, int32_t value) {
    (void)emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value);
    (void)emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* r2 = kind, r3 = access, r4 = major, r5 = minor. */
static void emit_load(struct program *p) {
    const uint8_t load = BPF_LDX | BPF_MEM | BPF_W;
    (void)emit(p, load, BPF_REG_2, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
    (void)emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
    (void)emit(p, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
    (void)emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
    (void)emit(p, load, BPF_REG_4, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
    (void)emit(p, load, BPF_REG_5, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
}

static int32_t bpf_access(uint8_t access) {
    return (access & CG_DEV_READ ? BPF_DEVCG_ACC_READ : 0) |
           (access & CG_DEV_WRITE ? BPF_DEVCG_ACC_WRITE : 0) |
           (access & CG_DEV_MKNOD ? BPF_DEVCG_ACC_MKNOD : 0);
}

static void emit_rule(struct program *p, const struct cg_device *d) {
    size_t jumps[4], count = 0; /* all to behind the rule */
    const uint8_t unequal = BPF_JMP | BPF_JNE | BPF_K;
    int32_t mask = bpf_access(d->access);
    if (d->type != 'a') {
        jumps[count++] = emit(p, unequal, BPF_REG_2, 0, 0,
                              d->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
    }
    if (d->major >= 0) {
        jumps[count++] = emit(p, unequal, BPF_REG_4, 0, 0, (int32_t)d->major);
    }
    if (d->minor >= 0) {
        jumps[count++] = emit(p, unequal, BPF_REG_5, 0, 0, (int32_t)d->minor);
    }
    if (d->allow) {
        (void)emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_3, 0, 0, ~mask);
        jumps[count++] = emit(p, unequal, BPF_REG_3, 0, 0, 0);
    } else {
        (void)emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0);
        (void)emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_1, 0, 0, mask);
        jumps[count++] = emit(p, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_1, 0, 0, 0);
    }
    emit_return(p, d->allow);
    for (size_t i = 0; i < count; i++) {
        p->insns[jumps[i]].off = (int16_t)(p->count - jumps[i] - 1); /* within one rule */
    }
}

static int bpf(int command, union bpf_attr *attr) {
    int fd = (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
    return fd >= 0 ? fd : -errno;
}

static int load(const struct program *p) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr)); /* the kernel checks what is not used, padding too */
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insn_cnt = (uint32_t)p->count;
    attr.insns = (uint64_t)(uintptr_t)p->insns;
    attr.license = (uint64_t)(uintptr_t) "Apache-2.0"; /* calls no helper of the kernel's */
    int fd = bpf(BPF_PROG_LOAD, &attr);
    if (fd == -EPERM) {
        /* Before Linux 5.11 programs count as locked memory. */
        const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
        struct rlimit old;
        if (getrlimit(RLIMIT_MEMLOCK, &old) == 0 && setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0) {
            fd = bpf(BPF_PROG_LOAD, &attr);
            (void)setrlimit(RLIMIT_MEMLOCK, &old); /* lowering it cannot fail */
        }
    }
    return fd;
}

int cg_devices_v2(const struct cg_dir *d, const struct cg_device *rules, size_t count,
                  struct err *err) {
    struct program p = {.insns = calloc(INSNS_FRAME + count * INSNS_PER_RULE, sizeof(*p.insns))};
    cleanup_free struct bpf_insn *insns = p.insns;
    if (insns == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    emit_load(&p);
    for (size_t i = count; i-- > 0;) {
        emit_rule(&p, &rules[i]);
    }
    emit_return(&p, 0);
    cleanup_fd int program = load(&p);
    if (program < 0) {
        return err_sys(err, program,
                       "cannot load the program that limits access to devices (bpf(2) needs "
                       "CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, on the host)");
    }
    cleanup_fd int dir = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.target_fd = (uint32_t)dir;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    int e = dir < 0 ? -errno : bpf(BPF_PROG_ATTACH, &attr);
    return e < 0 ? err_sys(err, e, "cannot attach the program that limits access to devices to %s",
                           d->path)
                 : 0;
}
