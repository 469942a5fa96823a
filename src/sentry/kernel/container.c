/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object container: birth, references, pause.
 */
#include "kernel/container.h"

#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/process.h"
#include "kernel/seccomp.h"

struct container *container_alloc(const char *id) {
    struct container *c = kzalloc(sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    ref_init(&c->ref);
    list_init(&c->link);
    c->pidns = c->uts = c->ipc = c;
    spin_init(&c->lock, RANK_FS);
    waitq_init(&c->gone);
    (void)strlcpy(c->id, id, sizeof(c->id)); /* the caller checked its length */
    (void)strlcpy(c->hostname, "moat", sizeof(c->hostname));
    (void)strlcpy(c->domainname, "(none)", sizeof(c->domainname));
    return c;
}

static void share_one(struct container **mine, struct container *theirs) {
    container_get(theirs);
    *mine = theirs;
}

void container_share(struct container *c, struct container *other, uint32_t share_flags) {
    if ((share_flags & MOAT_SHARE_PID) != 0) {
        share_one(&c->pidns, other->pidns);
    }
    if ((share_flags & MOAT_SHARE_IPC) != 0) {
        share_one(&c->ipc, other->ipc);
    }
    if ((share_flags & MOAT_SHARE_UTS) != 0) {
        share_one(&c->uts, other->uts);
    }
}

void container_put(struct container *c) {
    if (c == NULL || !ref_put(&c->ref)) {
        return;
    }
    struct container *shared[] = {c->pidns, c->uts, c->ipc};
    for (size_t i = 0; i < ARRAY_COUNT(shared); i++) {
        if (shared[i] != c) {
            container_put(shared[i]); /* an owner shares with nobody: no deeper than this */
        }
    }
    seccomp_filter_put(c->seccomp);
    radix_clear(&c->pids, &kradix_alloc);
    kfree(c);
}

/* Calls fn for each member; g_tasklist_lock held. */
static void each_process(struct container *c, void (*fn)(struct process *p)) {
    uint64_t key = 1;
    uint64_t value;

    while (radix_next(&c->pidns->pids, &key, &value)) {
        struct process *p = ((struct pid_slot *)(uintptr_t)value)->process;
        key++;
        if (p != NULL && p->member == c) {
            fn(p);
        }
    }
}

static void pause_process(struct process *p) {
    struct task *t;

    list_for_each_entry (t, &p->threads, thread_link) {
        (void)atomic_fetch_or(&t->flags, (uint32_t)TASK_F_PAUSED);
        task_kick(t);
    }
}

static void resume_process(struct process *p) {
    waitq_wake(&p->stop_wait, UINT32_MAX);
}

void container_pause(struct container *c) {
    spin_lock(&g_tasklist_lock);
    atomic_store(&c->paused, true);
    each_process(c, pause_process);
    spin_unlock(&g_tasklist_lock);
}

void container_resume(struct container *c) {
    spin_lock(&g_tasklist_lock);
    atomic_store(&c->paused, false);
    each_process(c, resume_process);
    spin_unlock(&g_tasklist_lock);
}
