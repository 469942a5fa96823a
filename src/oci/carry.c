/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers as bytes: see carry.h.  One description serves both directions, so that writer and
 * reader cannot disagree: numbers in their own width, texts and lists behind their length.
 */
#include "oci/carry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_TEXT UINT32_MAX

struct carry {
    bool reads;
    char *at;
    size_t left;
    int error; /* the first; everything is a no-op then */
};

/* ---- values ---- */

static void bytes(struct carry *k, void *value, size_t size) {
    if (k->error == 0 && size > k->left) {
        k->error = k->reads ? -EBADMSG : -E2BIG;
    }
    if (k->error != 0 || size == 0) {
        return;
    }
    if (k->reads) {
        memcpy(value, k->at, size);
    } else {
        memcpy(k->at, value, size);
    }
    k->at += size;
    k->left -= size;
}

#define NUMBER(k, value) bytes((k), &(value), sizeof(value))

static void flag(struct carry *k, bool *value) {
    uint8_t byte = !k->reads && *value;
    NUMBER(k, byte);
    if (k->reads) {
        *value = byte != 0;
    }
}

static void text(struct carry *k, char **value) {
    uint32_t len = k->reads || *value == NULL ? NO_TEXT : (uint32_t)strlen(*value);
    NUMBER(k, len);
    if (k->error != 0 || len == NO_TEXT) {
        return;
    }
    if (k->reads) {
        *value = len <= k->left ? calloc(1, (size_t)len + 1) : NULL;
        k->error = *value != NULL ? 0 : len <= k->left ? -ENOMEM : -EBADMSG;
    }
    if (k->error == 0) {
        bytes(k, *value, len);
    }
}

/* The elements of an array, each at least a byte long: memory for them when reading. */
static size_t items(struct carry *k, void *array, size_t *count, size_t size) {
    uint32_t n = k->reads ? 0 : (uint32_t)*count;
    void *made;
    NUMBER(k, n);
    if (k->error != 0 || !k->reads) {
        return k->error != 0 ? 0 : n;
    }
    if (n > k->left) {
        k->error = -EBADMSG;
        return 0;
    }
    made = n > 0 ? calloc(n, size) : NULL;
    if (n > 0 && made == NULL) {
        k->error = -ENOMEM;
        return 0;
    }
    memcpy(array, &made, sizeof(made));
    *count = n;
    return n;
}

#define ITEMS(k, array, count) items((k), &(array), &(count), sizeof(*(array)))

static void texts(struct carry *k, struct strlist *list) {
    uint32_t n = (uint32_t)list->count;
    NUMBER(k, n);
    for (uint32_t i = 0; i < n && k->error == 0; i++) {
        char *one = k->reads ? NULL : list->items[i];
        text(k, &one);
        if (k->reads) {
            k->error = k->error != 0 ? k->error : one == NULL ? -EBADMSG : strlist_add(list, one);
            free(one);
        }
    }
}

/* ---- control groups ---- */

static void i64(struct carry *k, struct cgroup_i64 *value) {
    flag(k, &value->set);
    NUMBER(k, value->value);
}

static void u64(struct carry *k, struct cgroup_u64 *value) {
    flag(k, &value->set);
    NUMBER(k, value->value);
}

static void memory(struct carry *k, struct cgroup_resources *r) {
    i64(k, &r->memory.limit);
    i64(k, &r->memory.reservation);
    i64(k, &r->memory.swap);
    i64(k, &r->memory.kernel);
    i64(k, &r->memory.kernel_tcp);
    u64(k, &r->memory.swappiness);
    flag(k, &r->memory.disable_oom_killer);
    flag(k, &r->memory.disable_oom_killer_set);
    flag(k, &r->memory.use_hierarchy);
    flag(k, &r->memory.use_hierarchy_set);
    flag(k, &r->memory.check_before_update);
}

static void cpu(struct carry *k, struct cgroup_resources *r) {
    u64(k, &r->cpu.shares);
    u64(k, &r->cpu.period);
    u64(k, &r->cpu.realtime_period);
    u64(k, &r->cpu.burst);
    i64(k, &r->cpu.quota);
    i64(k, &r->cpu.realtime_runtime);
    i64(k, &r->cpu.idle);
    text(k, &r->cpu.cpus);
    text(k, &r->cpu.mems);
}

static void device_rule(struct carry *k, struct cgroup_device_rule *d) {
    flag(k, &d->allow);
    NUMBER(k, d->type);
    NUMBER(k, d->major);
    NUMBER(k, d->minor);
    flag(k, &d->read);
    flag(k, &d->write);
    flag(k, &d->mknod);
}

static void resources(struct carry *k, struct cgroup_resources *r) {
    size_t n = ITEMS(k, r->devices, r->device_count);
    for (size_t i = 0; i < n; i++) {
        device_rule(k, &r->devices[i]);
    }
    memory(k, r);
    cpu(k, r);
    i64(k, &r->pids);
    n = ITEMS(k, r->hugepages, r->hugepage_count);
    for (size_t i = 0; i < n; i++) {
        text(k, &r->hugepages[i].page_size);
        NUMBER(k, r->hugepages[i].limit);
    }
    n = ITEMS(k, r->unified, r->unified_count);
    for (size_t i = 0; i < n; i++) {
        text(k, &r->unified[i].key);
        text(k, &r->unified[i].value);
    }
}

/* ---- the process ---- */

static void scheduler(struct carry *k, struct oci_scheduler *s) {
    flag(k, &s->set);
    NUMBER(k, s->policy);
    NUMBER(k, s->nice);
    NUMBER(k, s->priority);
    NUMBER(k, s->flags);
    NUMBER(k, s->runtime);
    NUMBER(k, s->deadline);
    NUMBER(k, s->period);
}

static void process(struct carry *k, struct container_process *p) {
    texts(k, &p->args);
    texts(k, &p->env);
    text(k, &p->cwd);
    NUMBER(k, p->uid);
    NUMBER(k, p->gid);
    NUMBER(k, p->umask);
    flag(k, &p->umask_set);
    size_t n = ITEMS(k, p->groups, p->group_count);
    for (size_t i = 0; i < n; i++) {
        NUMBER(k, p->groups[i]);
    }
    n = ITEMS(k, p->rlimits, p->rlimit_count);
    for (size_t i = 0; i < n; i++) {
        NUMBER(k, p->rlimits[i].resource);
        NUMBER(k, p->rlimits[i].cur);
        NUMBER(k, p->rlimits[i].max);
    }
    NUMBER(k, p->caps.effective);
    NUMBER(k, p->caps.permitted);
    NUMBER(k, p->caps.inheritable);
    NUMBER(k, p->caps.bounding);
    NUMBER(k, p->caps.ambient);
    flag(k, &p->terminal);
    flag(k, &p->no_new_privs);
    NUMBER(k, p->rows);
    NUMBER(k, p->cols);
    flag(k, &p->oom_score_adj_set);
    NUMBER(k, p->oom_score_adj);
    text(k, &p->apparmor_profile);
    text(k, &p->selinux_label);
    scheduler(k, &p->scheduler);
    flag(k, &p->io_priority.set);
    NUMBER(k, p->io_priority.class);
    NUMBER(k, p->io_priority.priority);
    text(k, &p->cpu_affinity.initial);
    text(k, &p->cpu_affinity.final);
    /* What cannot be run is no process. */
    if (k->reads && k->error == 0 && (p->args.count == 0 || p->cwd == NULL)) {
        k->error = -EBADMSG;
    }
}

/* ---- the rest ---- */

static void mappings(struct carry *k, struct oci_mapping_list *list) {
    size_t n = ITEMS(k, list->items, list->count);
    for (size_t i = 0; i < n; i++) {
        NUMBER(k, list->items[i].container_id);
        NUMBER(k, list->items[i].host_id);
        NUMBER(k, list->items[i].size);
    }
}

static void one_mount(struct carry *k, struct container_mount *m) {
    uint8_t kind = (uint8_t)m->kind;
    NUMBER(k, kind);
    m->kind = kind == MOUNT_BIND ? MOUNT_BIND : MOUNT_TYPED;
    NUMBER(k, m->flags);
    text(k, &m->source);
    text(k, &m->target);
    text(k, &m->fstype);
    text(k, &m->options);
    NUMBER(k, m->attr_set);
    NUMBER(k, m->attr_clear);
    NUMBER(k, m->tree_set);
    NUMBER(k, m->tree_clear);
    NUMBER(k, m->propagation);
    NUMBER(k, m->super_flags);
    flag(k, &m->recursive);
    flag(k, &m->tmpcopyup);
    flag(k, &m->idmap);
    flag(k, &m->idmap_recursive);
    mappings(k, &m->uid_mappings);
    mappings(k, &m->gid_mappings);
    bool named = m->target != NULL && (m->kind == MOUNT_BIND ? m->source : m->fstype) != NULL;
    if (k->reads && k->error == 0 && !named) {
        k->error = -EBADMSG;
    }
}

static void hooks(struct carry *k, struct oci_hook_list *list) {
    size_t n = ITEMS(k, list->items, list->count);
    for (size_t i = 0; i < n; i++) {
        struct oci_hook *h = &list->items[i];
        text(k, &h->path);
        texts(k, &h->args);
        texts(k, &h->env);
        NUMBER(k, h->timeout_s);
        if (k->reads && k->error == 0 && h->path == NULL) {
            k->error = -EBADMSG;
        }
    }
}

static void key_values(struct carry *k, struct oci_key_values *list) {
    size_t n = ITEMS(k, list->items, list->count);
    for (size_t i = 0; i < n; i++) {
        text(k, &list->items[i].key);
        text(k, &list->items[i].value);
        if (k->reads && k->error == 0 &&
            (list->items[i].key == NULL || list->items[i].value == NULL)) {
            k->error = -EBADMSG;
        }
    }
}

static void time_offset(struct carry *k, struct oci_time_offset *t) {
    NUMBER(k, t->secs);
    NUMBER(k, t->nanosecs);
    flag(k, &t->set);
}

static void linux_section(struct carry *k, struct oci_linux *l) {
    for (int kind = 0; kind < NS_KINDS; kind++) {
        flag(k, &l->namespaces[kind].set);
        text(k, &l->namespaces[kind].path);
    }
    mappings(k, &l->uid_mappings);
    mappings(k, &l->gid_mappings);
    time_offset(k, &l->boottime);
    time_offset(k, &l->monotonic);
    size_t n = ITEMS(k, l->devices, l->device_count);
    for (size_t i = 0; i < n; i++) {
        struct oci_device *d = &l->devices[i];
        text(k, &d->path);
        NUMBER(k, d->type);
        NUMBER(k, d->major);
        NUMBER(k, d->minor);
        NUMBER(k, d->mode);
        NUMBER(k, d->uid);
        NUMBER(k, d->gid);
        if (k->reads && k->error == 0 && d->path == NULL) {
            k->error = -EBADMSG;
        }
    }
    resources(k, &l->resources);
    flag(k, &l->seccomp.set);
    NUMBER(k, l->seccomp.flags);
    texts(k, &l->masked_paths);
    texts(k, &l->readonly_paths);
    key_values(k, &l->sysctl);
    NUMBER(k, l->rootfs_propagation);
    text(k, &l->mount_label);
    flag(k, &l->personality_set);
    NUMBER(k, l->personality);
}

static void program(struct carry *k, struct seccomp_program *p) {
    size_t count = p->count;
    size_t n = ITEMS(k, p->code, count);
    if (k->reads && n > UINT16_MAX) {
        k->error = -EBADMSG;
        return;
    }
    bytes(k, p->code, n * sizeof(*p->code));
    p->count = (uint16_t)n;
}

static void container(struct carry *k, struct carried *d) {
    struct container *c = &d->c;
    uint8_t overlay = (uint8_t)c->overlay;
    text(k, &c->id);
    text(k, &c->hostname);
    text(k, &c->domainname);
    process(k, &c->process);
    text(k, &c->rootfs);
    flag(k, &c->root_readonly);
    NUMBER(k, c->memory_limit);
    NUMBER(k, overlay);
    c->overlay = overlay == OVERLAY_NONE ? OVERLAY_NONE : OVERLAY_MEMORY;
    size_t n = ITEMS(k, c->mounts, c->mount_count);
    for (size_t i = 0; i < n; i++) {
        one_mount(k, &c->mounts[i]);
    }
    hooks(k, &c->hooks[HOOK_START_CONTAINER]);
    linux_section(k, &c->linux_);
    program(k, &d->seccomp);
    text(k, &d->state_json);
    flag(k, &d->no_new_keyring);
    if (k->reads && k->error == 0 &&
        (c->id == NULL || c->rootfs == NULL || d->state_json == NULL)) {
        k->error = -EBADMSG;
    }
}

/* ---- both ways ---- */

/* Writing changes nothing of what it is given but what it sets to the value that it has. */
int carry_container_write(const struct carried *from, void *buf, size_t size, size_t *out_len) {
    struct carry k = {.at = buf, .left = size};
    struct carried view = *from; /* its parts stay theirs */
    container(&k, &view);
    *out_len = size - k.left;
    return k.error;
}

int carry_process_write(const struct container_process *from, void *buf, size_t size,
                        size_t *out_len) {
    struct carry k = {.at = buf, .left = size};
    struct container_process view = *from;
    process(&k, &view);
    *out_len = size - k.left;
    return k.error;
}

int carry_container_read(const void *buf, size_t size, struct carried *out) {
    struct carry k = {.reads = true, .at = (char *)(uintptr_t)buf, .left = size};
    container(&k, out);
    return k.error != 0 ? k.error : k.left == 0 ? 0 : -EBADMSG;
}

int carry_process_read(const void *buf, size_t size, struct container_process *out) {
    struct carry k = {.reads = true, .at = (char *)(uintptr_t)buf, .left = size};
    process(&k, out);
    return k.error != 0 ? k.error : k.left == 0 ? 0 : -EBADMSG;
}

void carried_free(struct carried *k) {
    container_free(&k->c);
    seccomp_program_free(&k->seccomp);
    free(k->state_json);
    *k = (struct carried){.no_new_keyring = false};
}
