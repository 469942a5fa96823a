/* SPDX-License-Identifier: Apache-2.0 */
/* Building control messages: see ctlmsg.h.  The layout is that of struct moat_ctl_create. */
#include "oci/ctlmsg.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

struct builder {
    char *buf;      /* MOAT_CTL_MSG_MAX bytes */
    size_t fixed;   /* next free byte of the arrays */
    size_t strings; /* start of the string table */
    size_t used;    /* bytes of the table */
    bool overflow;
};

static void *builder_take(struct builder *b, size_t size) {
    void *at = b->buf + b->fixed;
    b->fixed += size;
    return at;
}

static struct moat_ctl_str builder_string(struct builder *b, const char *text) {
    struct moat_ctl_str s = {0, 0};
    size_t len = strlen(text == NULL ? "" : text);
    if (b->strings + b->used + len + 1 > MOAT_CTL_MSG_MAX) {
        b->overflow = true;
        return s;
    }
    memcpy(b->buf + b->strings + b->used, text == NULL ? "" : text, len + 1);
    s.off = (uint32_t)b->used;
    s.len = (uint32_t)len;
    b->used += len + 1;
    return s;
}

#define STR_SIZE sizeof(struct moat_ctl_str)

static size_t known_devices(const struct container *c) {
    size_t count = 0;
    for (size_t i = 0; i < c->linux_.device_count; i++) {
        count += ctlmsg_device_known(&c->linux_.devices[i]);
    }
    return count;
}

static size_t arrays_size(const struct ctlmsg_create *in) {
    const struct container_process *p = in->p;
    const struct container *c = in->c;
    size_t size = (p->args.count + p->env.count) * STR_SIZE;
    size += ALIGN_UP(p->group_count * sizeof(uint32_t), 8);
    size += p->rlimit_count * sizeof(struct moat_ctl_rlimit);
    if (in->exec_id == NULL) {
        size += c->mount_count * sizeof(struct moat_ctl_mount);
        size += (c->linux_.masked_paths.count + c->linux_.readonly_paths.count) * STR_SIZE;
        size += c->linux_.sysctl.count * sizeof(struct moat_ctl_sysctl);
        size += known_devices(c) * sizeof(struct moat_ctl_device);
        size += in->seccomp != NULL ? in->seccomp->count * sizeof(struct sock_filter) : 0;
    }
    return size;
}

static void build_mounts(struct builder *b, const struct container *c, uint32_t next_export) {
    for (size_t i = 0; i < c->mount_count; i++) {
        const struct container_mount *m = &c->mounts[i];
        struct moat_ctl_mount *out = builder_take(b, sizeof(*out));
        out->flags = m->flags | (m->tmpcopyup ? MOAT_MOUNT_TMPCOPYUP : 0);
        if (m->kind == MOUNT_BIND) {
            out->kind = MOAT_MOUNT_BIND;
            out->export_index = next_export++;
        } else {
            out->kind = MOAT_MOUNT_TYPED;
        }
        out->target = builder_string(b, m->target);
        out->fstype = builder_string(b, m->fstype);
        out->source = builder_string(b, m->source);
        out->options = builder_string(b, m->options);
    }
}

static void build_process(struct builder *b, struct moat_ctl_create *msg,
                          const struct container_process *p) {
    msg->cwd = builder_string(b, p->cwd == NULL ? "/" : p->cwd);
    msg->argc = (uint32_t)p->args.count;
    msg->envc = (uint32_t)p->env.count;
    msg->group_count = (uint32_t)p->group_count;
    msg->rlimit_count = (uint32_t)p->rlimit_count;
    msg->uid = p->uid;
    msg->gid = p->gid;
    msg->umask_ = p->umask;
    msg->rows = p->rows;
    msg->cols = p->cols;
    msg->flags =
        (p->terminal ? MOAT_PROC_TERMINAL : 0) | (p->no_new_privs ? MOAT_PROC_NO_NEW_PRIVS : 0);
    msg->cap_effective = p->caps.effective;
    msg->cap_permitted = p->caps.permitted;
    msg->cap_inheritable = p->caps.inheritable;
    msg->cap_bounding = p->caps.bounding;
    msg->cap_ambient = p->caps.ambient;
    for (size_t i = 0; i < p->args.count; i++) {
        struct moat_ctl_str *s = builder_take(b, sizeof(*s));
        *s = builder_string(b, p->args.items[i]);
    }
    for (size_t i = 0; i < p->env.count; i++) {
        struct moat_ctl_str *s = builder_take(b, sizeof(*s));
        *s = builder_string(b, p->env.items[i]);
    }
    void *groups = builder_take(b, ALIGN_UP(p->group_count * sizeof(uint32_t), 8));
    if (p->group_count > 0) {
        memcpy(groups, p->groups, p->group_count * sizeof(uint32_t));
    }
    for (size_t i = 0; i < p->rlimit_count; i++) {
        struct moat_ctl_rlimit *r = builder_take(b, sizeof(*r));
        r->resource = p->rlimits[i].resource;
        r->cur = p->rlimits[i].cur;
        r->max = p->rlimits[i].max;
    }
}

static void build_strings(struct builder *b, const struct strlist *list) {
    for (size_t i = 0; i < list->count; i++) {
        struct moat_ctl_str *s = builder_take(b, sizeof(*s));
        *s = builder_string(b, list->items[i]);
    }
}

bool ctlmsg_device_known(const struct oci_device *d) {
    static const struct {
        int64_t major, minor;
    } known[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {1, 11}, {5, 0}, {5, 1}, {5, 2}};
    if (d->type == 'p') {
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if ((d->type == 'c' || d->type == 'u') && d->major == known[i].major &&
            d->minor == known[i].minor) {
            return true;
        }
    }
    return false;
}

static uint32_t build_devices(struct builder *b, const struct oci_linux *l) {
    uint32_t count = 0;
    for (size_t i = 0; i < l->device_count; i++) {
        const struct oci_device *d = &l->devices[i];
        if (!ctlmsg_device_known(d)) {
            continue;
        }
        struct moat_ctl_device *out = builder_take(b, sizeof(*out));
        out->mode = (d->type == 'p' ? S_IFIFO : S_IFCHR) | (d->mode & 07777);
        out->major = d->type == 'p' ? 0 : (uint32_t)d->major;
        out->minor = d->type == 'p' ? 0 : (uint32_t)d->minor;
        out->uid = d->uid;
        out->gid = d->gid;
        out->path = builder_string(b, d->path);
        count++;
    }
    return count;
}

static uint64_t positive(int64_t value) {
    return value > 0 ? (uint64_t)value : 0;
}

struct moat_ctl_limits ctlmsg_limits(const struct cgroup_resources *r) {
    struct moat_ctl_limits l = {0};
    l.set |= r->pids.set ? MOAT_LIMIT_PIDS : 0;
    l.pids = positive(r->pids.value);
    l.set |= r->memory.limit.set ? MOAT_LIMIT_MEMORY : 0;
    l.memory = positive(r->memory.limit.value);
    l.set |= r->cpu.quota.set ? MOAT_LIMIT_CPU : 0;
    l.cpu_quota_us = positive(r->cpu.quota.value);
    l.cpu_period_us = r->cpu.period.set ? r->cpu.period.value : 100000; /* the kernel's own */
    return l;
}

/* What only CREATE has. */
static void build_container(struct builder *b, struct moat_ctl_create *msg,
                            const struct ctlmsg_create *in) {
    const struct container *c = in->c;
    const struct oci_linux *l = &c->linux_;
    msg->root_export = in->first_export;
    msg->mount_count = (uint32_t)c->mount_count;
    build_mounts(b, c, in->first_export + 1);
    msg->masked_count = (uint32_t)l->masked_paths.count;
    build_strings(b, &l->masked_paths);
    msg->readonly_count = (uint32_t)l->readonly_paths.count;
    build_strings(b, &l->readonly_paths);
    msg->sysctl_count = (uint32_t)l->sysctl.count;
    for (size_t i = 0; i < l->sysctl.count; i++) {
        struct moat_ctl_sysctl *out = builder_take(b, sizeof(*out));
        out->name = builder_string(b, l->sysctl.items[i].key);
        out->value = builder_string(b, l->sysctl.items[i].value);
    }
    msg->device_count = build_devices(b, l);
    if (in->seccomp != NULL) {
        size_t size = in->seccomp->count * sizeof(struct sock_filter);
        memcpy(builder_take(b, size), in->seccomp->code, size);
        msg->seccomp_count = in->seccomp->count;
        msg->seccomp_flags =
            (l->seccomp.flags & SECCOMP_FILTER_FLAG_LOG) != 0 ? MOAT_SECCOMP_LOG : 0;
    }
    msg->share = builder_string(b, in->share);
    msg->share_flags = in->share != NULL ? in->share_flags : 0;
    msg->limits = ctlmsg_limits(&l->resources);
    if (l->personality_set) {
        msg->flags |= MOAT_PROC_PERSONALITY;
        msg->personality = l->personality;
    }
    if (c->root_readonly) {
        msg->flags |= MOAT_PROC_READONLY_ROOT;
    }
}

static void build_scheduling(struct moat_ctl_create *msg, const struct container_process *p) {
    if (p->oom_score_adj_set) {
        msg->flags |= MOAT_PROC_OOM_SCORE;
        msg->oom_score_adj = p->oom_score_adj;
    }
    if (p->scheduler.set) {
        msg->flags |= MOAT_PROC_SCHEDULER;
        msg->sched_policy = p->scheduler.policy;
        msg->sched_priority = p->scheduler.priority;
        msg->nice = p->scheduler.nice;
    }
    if (p->io_priority.set) {
        msg->flags |= MOAT_PROC_IOPRIO;
        msg->ioprio =
            p->io_priority.class << 13 | (p->io_priority.priority & 7); /* ioprio_set(2) */
    }
}

static int too_big(struct err *err) {
    return err_set(
        err, -E2BIG,
        "the arguments and environment of the process are larger than %u bytes: pass less of them",
        MOAT_CTL_MSG_MAX);
}

/* What the other side would refuse without a name. */
static int check_counts(const struct container *c, struct err *err) {
    const struct oci_linux *l = &c->linux_;
    const struct {
        const char *name;
        size_t count, max;
    } lists[] = {{"mounts", c->mount_count, MOAT_CTL_MOUNTS_MAX},
                 {"linux.maskedPaths", l->masked_paths.count, MOAT_CTL_PATHS_MAX},
                 {"linux.readonlyPaths", l->readonly_paths.count, MOAT_CTL_PATHS_MAX},
                 {"linux.sysctl", l->sysctl.count, MOAT_CTL_SYSCTLS_MAX},
                 {"linux.devices", l->device_count, MOAT_CTL_DEVICES_MAX}};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        if (lists[i].count > lists[i].max) {
            return err_set(err, -E2BIG, "%s has %zu entries, and a sandbox takes %zu at most",
                           lists[i].name, lists[i].count, lists[i].max);
        }
    }
    return 0;
}

int ctlmsg_create(const struct ctlmsg_create *in, void **out_buf, size_t *out_len,
                  struct err *err) {
    const struct container *c = in->c;
    int e = in->exec_id == NULL ? check_counts(c, err) : 0;
    if (e != 0) {
        return e;
    }
    size_t arrays = sizeof(struct moat_ctl_create) + arrays_size(in);
    if (arrays >= MOAT_CTL_MSG_MAX) {
        return too_big(err);
    }
    struct builder b = {.buf = calloc(1, MOAT_CTL_MSG_MAX), .strings = arrays};
    if (b.buf == NULL) {
        return err_sys(err, -ENOMEM, "cannot build the message that creates the process");
    }
    struct moat_ctl_create *msg = builder_take(&b, sizeof(*msg));
    msg->h.type = in->exec_id == NULL ? MOAT_CTL_CREATE : MOAT_CTL_EXEC;
    msg->h.magic = MOAT_CTL_MAGIC;
    msg->h.version = MOAT_CTL_VERSION;
    msg->h.id = in->request_id;
    msg->container = builder_string(&b, c->id);
    msg->exec_id = builder_string(&b, in->exec_id);
    msg->hostname = builder_string(&b, c->hostname);
    msg->domainname = builder_string(&b, c->domainname);
    msg->strings_off = (uint32_t)arrays;
    msg->overlay = c->overlay == OVERLAY_NONE ? MOAT_OVERLAY_NONE : MOAT_OVERLAY_MEMORY;
    build_process(&b, msg, in->p);
    build_scheduling(msg, in->p);
    if (in->exec_id == NULL) {
        build_container(&b, msg, in);
    } else {
        msg->share = builder_string(&b, NULL);
    }
    if (b.overflow) {
        free(b.buf);
        return too_big(err);
    }
    msg->h.size = (uint32_t)(arrays + b.used);
    *out_buf = b.buf;
    *out_len = msg->h.size;
    return 0;
}

int ctlmsg_build_create(const struct container *c, const struct container_process *p,
                        const char *exec_id, uint32_t request_id, void **out_buf, size_t *out_len,
                        struct err *err) {
    const struct ctlmsg_create in = {.c = c, .p = p, .exec_id = exec_id, .request_id = request_id};
    return ctlmsg_create(&in, out_buf, out_len, err);
}

int ctlmsg_ref(struct moat_ctl_ref *ref, uint16_t type, uint32_t size, uint32_t request_id,
               const char *container, const char *exec_id) {
    memset(ref, 0, sizeof(*ref));
    ref->h = (struct moat_ctl_header){MOAT_CTL_MAGIC, MOAT_CTL_VERSION, type, size, request_id};
    const char *exec = exec_id == NULL ? "" : exec_id;
    if (strlen(container) >= sizeof(ref->container) || strlen(exec) >= sizeof(ref->exec_id)) {
        return -ENAMETOOLONG;
    }
    memcpy(ref->container, container, strlen(container) + 1);
    memcpy(ref->exec_id, exec, strlen(exec) + 1);
    return 0;
}

int ctlmsg_winsize(struct moat_ctl_winsize *msg, int terminal_fd, uint32_t request_id,
                   const char *container, const char *exec_id) {
    struct winsize ws;
    memset(msg, 0, sizeof(*msg));
    if (ioctl(terminal_fd, TIOCGWINSZ, &ws) != 0) {
        return -errno;
    }
    msg->rows = ws.ws_row;
    msg->cols = ws.ws_col;
    msg->xpixel = ws.ws_xpixel;
    msg->ypixel = ws.ws_ypixel;
    return ctlmsg_ref(&msg->ref, MOAT_CTL_WINSIZE, sizeof(*msg), request_id, container, exec_id);
}
