/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object container: birth, references, pause.
 */
#include "kernel/container.h"

#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/process.h"

struct container *container_alloc(const char *id) {
    struct container *c = kzalloc(sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    ref_init(&c->ref);
    list_init(&c->link);
    spin_init(&c->lock, RANK_FS);
    waitq_init(&c->gone);
    (void)strlcpy(c->id, id, sizeof(c->id)); /* the caller checked its length */
    (void)strlcpy(c->hostname, "moat", sizeof(c->hostname));
    (void)strlcpy(c->domainname, "(none)", sizeof(c->domainname));
    return c;
}

void container_put(struct container *c) {
    if (c != NULL && ref_put(&c->ref)) {
        radix_clear(&c->pids, &kradix_alloc);
        kfree(c);
    }
}

/* Calls fn for each process; g_tasklist_lock held. */
static void each_process(struct container *c, void (*fn)(struct process *p)) {
    uint64_t key = 1;
    uint64_t value;

    while (radix_next(&c->pids, &key, &value)) {
        struct process *p = ((struct pid_slot *)(uintptr_t)value)->process;
        key++;
        if (p != NULL) {
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
