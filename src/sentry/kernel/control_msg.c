/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/control_msg.h"

#include "base/string.h"

#include <linux/errno.h>

int ctl_header_check(const void *msg, size_t len, struct moat_ctl_header *out_header) {
    if (len < sizeof(*out_header)) {
        return -EPROTO;
    }
    memcpy(out_header, msg, sizeof(*out_header));
    if (out_header->magic != MOAT_CTL_MAGIC || out_header->version != MOAT_CTL_VERSION ||
        out_header->size != len) {
        return -EPROTO;
    }
    return 0;
}

static bool string_ok(const struct ctl_create *c, struct moat_ctl_str s) {
    if (s.off >= c->strings_len || s.len >= c->strings_len - s.off) {
        return false;
    }
    return strnlen(c->strings + s.off, (size_t)s.len + 1) == s.len;
}

static bool strings_ok(const struct ctl_create *c, const struct moat_ctl_str *array,
                       uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (!string_ok(c, array[i])) {
            return false;
        }
    }
    return true;
}

/* Takes `count` elements of `size` bytes at *inout_off; NULL when they do not fit before `end`. */
static const void *take(const char *msg, size_t *inout_off, size_t end, uint32_t count,
                        size_t size) {
    size_t bytes = (size_t)count * size; /* 2^32 times a few dozen: no overflow */
    size_t at = *inout_off;

    bytes = ALIGN_UP(bytes, (size_t)8);
    if (at > end || bytes > end - at) {
        return NULL;
    }
    *inout_off = at + bytes;
    return msg + at;
}

static bool mounts_ok(const struct ctl_create *c) {
    for (uint32_t i = 0; i < c->fixed->mount_count; i++) {
        const struct moat_ctl_mount *m = &c->mounts[i];
        if ((m->kind != MOAT_MOUNT_BIND && m->kind != MOAT_MOUNT_TYPED) ||
            !string_ok(c, m->target) || !string_ok(c, m->fstype) || !string_ok(c, m->source) ||
            !string_ok(c, m->options) || ctl_string(c, m->target)[0] != '/') {
            return false;
        }
    }
    return true;
}

static bool sysctls_ok(const struct ctl_create *c) {
    for (uint32_t i = 0; i < c->fixed->sysctl_count; i++) {
        if (!string_ok(c, c->sysctls[i].name) || !string_ok(c, c->sysctls[i].value)) {
            return false;
        }
    }
    return true;
}

static bool paths_ok(const struct ctl_create *c, const struct moat_ctl_str *paths, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (!string_ok(c, paths[i]) || ctl_string(c, paths[i])[0] != '/') {
            return false;
        }
    }
    return true;
}

static bool devices_ok(const struct ctl_create *c) {
    for (uint32_t i = 0; i < c->fixed->device_count; i++) {
        if (!paths_ok(c, &c->devices[i].path, 1)) {
            return false;
        }
    }
    return true;
}

static bool counts_ok(const struct moat_ctl_create *f) {
    return f->argc != 0 && f->mount_count <= MOAT_CTL_MOUNTS_MAX &&
           f->rlimit_count <= MOAT_CTL_RLIMITS_MAX && f->group_count <= MOAT_CTL_GROUPS_MAX &&
           f->masked_count <= MOAT_CTL_PATHS_MAX && f->readonly_count <= MOAT_CTL_PATHS_MAX &&
           f->sysctl_count <= MOAT_CTL_SYSCTLS_MAX && f->device_count <= MOAT_CTL_DEVICES_MAX &&
           f->seccomp_count <= MOAT_SECCOMP_MAX;
}

int ctl_create_parse(const void *msg, size_t len, struct ctl_create *out) {
    const struct moat_ctl_create *f = msg;
    const char *base = msg;
    size_t off = sizeof(*f);

    if (len < sizeof(*f) || len > MOAT_CTL_MSG_MAX || f->strings_off < sizeof(*f) ||
        f->strings_off >= len) {
        return -EINVAL;
    }
    if (!counts_ok(f)) {
        return -EINVAL;
    }
    out->fixed = f;
    out->strings = base + f->strings_off;
    out->strings_len = len - f->strings_off;
    out->argv = take(base, &off, f->strings_off, f->argc, sizeof(*out->argv));
    out->envp = take(base, &off, f->strings_off, f->envc, sizeof(*out->envp));
    out->groups = take(base, &off, f->strings_off, f->group_count, sizeof(*out->groups));
    out->rlimits = take(base, &off, f->strings_off, f->rlimit_count, sizeof(*out->rlimits));
    out->mounts = take(base, &off, f->strings_off, f->mount_count, sizeof(*out->mounts));
    out->masked = take(base, &off, f->strings_off, f->masked_count, sizeof(*out->masked));
    out->readonly = take(base, &off, f->strings_off, f->readonly_count, sizeof(*out->readonly));
    out->sysctls = take(base, &off, f->strings_off, f->sysctl_count, sizeof(*out->sysctls));
    out->devices = take(base, &off, f->strings_off, f->device_count, sizeof(*out->devices));
    out->seccomp = take(base, &off, f->strings_off, f->seccomp_count, sizeof(*out->seccomp));
    if (out->argv == NULL || out->envp == NULL || out->groups == NULL || out->rlimits == NULL ||
        out->mounts == NULL || out->masked == NULL || out->readonly == NULL ||
        out->sysctls == NULL || out->devices == NULL || out->seccomp == NULL) {
        return -EINVAL;
    }
    bool ok = strings_ok(out, out->argv, f->argc) && strings_ok(out, out->envp, f->envc) &&
              string_ok(out, f->container) && string_ok(out, f->exec_id) &&
              string_ok(out, f->cwd) && string_ok(out, f->hostname) &&
              string_ok(out, f->domainname) && string_ok(out, f->share) && mounts_ok(out) &&
              paths_ok(out, out->masked, f->masked_count) &&
              paths_ok(out, out->readonly, f->readonly_count) && sysctls_ok(out) && devices_ok(out);
    return ok ? 0 : -EINVAL;
}

const char *ctl_string(const struct ctl_create *c, struct moat_ctl_str s) {
    return c->strings + s.off;
}

int ctl_ref_check(const struct moat_ctl_ref *ref, size_t len, size_t want) {
    if (len != want || memchr(ref->container, '\0', sizeof(ref->container)) == NULL ||
        memchr(ref->exec_id, '\0', sizeof(ref->exec_id)) == NULL) {
        return -EINVAL;
    }
    return 0;
}
