/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process groups and sessions: setpgid(2), setsid(2), credentials(7), and orphaned groups
 * (POSIX 3.262). Locks: g_tasklist_lock guards membership.  A group leaves the pid table when its
 * last member leaves; its memory goes with the last reference (a terminal may hold one).
 */
#include "fs/tty/tty.h"
#include "kernel/container.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "syscall/syscall.h"

#include <linux/errno.h>

void session_put(struct session *s) {
    if (s != NULL && ref_put(&s->ref)) {
        tty_session_free(s);
        kfree(s);
    }
}

void pgrp_put(struct pgrp *g) {
    if (g != NULL && ref_put(&g->ref)) {
        session_put(g->session);
        kfree(g);
    }
}

struct pgrp *task_pgrp_get(struct task *t) {
    spin_lock(&g_tasklist_lock);
    struct pgrp *g = t->process->pgrp;
    if (g != NULL) {
        pgrp_get(g);
    }
    spin_unlock(&g_tasklist_lock);
    return g;
}

struct session *task_session_get(struct task *t) {
    struct session *s = NULL;

    spin_lock(&g_tasklist_lock);
    if (t->process->pgrp != NULL) {
        s = t->process->pgrp->session;
        session_get(s);
    }
    spin_unlock(&g_tasklist_lock);
    return s;
}

/* The last member has left: the numbers are free. */
static void pgrp_retire(struct pgrp *g) {
    struct container *c = g->container;
    struct pid_slot *slot = pid_slot_get(c, g->id);

    if (slot != NULL && slot->pgrp == g) {
        slot->pgrp = NULL;
        pid_slot_release(c, g->id);
    }
    struct session *s = g->session;
    if (--s->group_count != 0) {
        return;
    }
    slot = pid_slot_get(c, s->id);
    if (slot != NULL && slot->session == s) {
        slot->session = NULL;
        pid_slot_release(c, s->id);
    }
}

struct pgrp *process_join_pgrp(struct process *p, struct pgrp *g) {
    struct pgrp *old = p->pgrp;

    if (old == g) {
        return NULL;
    }
    list_del_init(&p->pgrp_link);
    p->pgrp = g;
    if (g != NULL) {
        pgrp_get(g);
        list_push_back(&g->members, &p->pgrp_link);
    }
    if (old != NULL && list_empty(&old->members)) {
        pgrp_retire(old);
    }
    return old;
}

static struct session *session_alloc(struct process *p, int32_t id) {
    struct session *s = kzalloc(sizeof(*s));

    if (s != NULL) {
        ref_init(&s->ref);
        s->id = id;
        s->container = p->container;
        s->leader = p;
    }
    return s;
}

int process_new_group(struct process *p, int32_t id, bool new_session, struct pgrp **out_old) {
    struct pid_slot *slot = pid_slot_get(p->container, id);
    struct pgrp *g = kzalloc(sizeof(*g));

    if (slot == NULL || g == NULL) {
        kfree(g);
        return slot == NULL ? -EPERM : -ENOMEM;
    }
    if (new_session) {
        g->session = session_alloc(p, id);
        if (g->session == NULL) {
            kfree(g);
            return -ENOMEM;
        }
        slot->session = g->session;
    } else {
        g->session = p->pgrp->session;
        session_get(g->session);
    }
    ref_init(&g->ref);
    g->id = id;
    g->container = p->container;
    list_init(&g->members);
    g->session->group_count++;
    slot->pgrp = g;
    *out_old = process_join_pgrp(p, g);
    bool last = ref_put(&g->ref); /* the member holds one now */
    kassert(!last);
    return 0;
}

bool pgrp_is_orphaned_locked(struct pgrp *g, struct process *ignore) {
    struct process *p;

    list_for_each_entry (p, &g->members, pgrp_link) {
        struct process *parent = p->parent;
        if (p == ignore || p->zombie || parent == NULL) {
            continue; /* a shell that is init of its container continues its jobs like any other */
        }
        if (parent->pgrp != NULL && parent->pgrp != g && parent->pgrp->session == g->session) {
            return false;
        }
    }
    return true;
}

bool pgrp_is_orphaned(struct pgrp *g) {
    spin_lock(&g_tasklist_lock);
    bool orphaned = pgrp_is_orphaned_locked(g, NULL);
    spin_unlock(&g_tasklist_lock);
    return orphaned;
}

/* The checks of setpgid(2) on the target; g_tasklist_lock held. */
static int setpgid_target(struct task *t, int32_t pid, struct process **out_target) {
    struct process *self = t->process;
    struct process *p = self;

    if (pid != self->pid) {
        struct pid_slot *slot = pid_slot_get(self->container, pid);
        p = slot != NULL ? slot->process : NULL;
        if (p == NULL || p->parent != self) {
            return -ESRCH;
        }
        if (p->pgrp == NULL || p->pgrp->session != self->pgrp->session) {
            return -EPERM;
        }
        if (p->did_exec) {
            return -EACCES;
        }
    }
    if (p->pgrp->session->leader == p) {
        return -EPERM;
    }
    *out_target = p;
    return 0;
}

static int setpgid_locked(struct task *t, int32_t pid, int32_t pgid, struct pgrp **out_old) {
    struct process *p;
    int err = setpgid_target(t, pid, &p);

    if (err != 0) {
        return err;
    }
    struct pid_slot *slot = pid_slot_get(p->container, pgid);
    struct pgrp *g = slot != NULL ? slot->pgrp : NULL;
    if (g == NULL && pgid == pid) {
        return process_new_group(p, pid, false, out_old);
    }
    if (g == NULL || g->session != p->pgrp->session) {
        return -EPERM;
    }
    *out_old = process_join_pgrp(p, g);
    return 0;
}

int64_t sys_setpgid(struct task *t, const struct sysargs *args) {
    int32_t pid = (int32_t)args->a[0];
    int32_t pgid = (int32_t)args->a[1];
    struct pgrp *old = NULL;

    if (pid < 0 || pgid < 0) {
        return pgid < 0 ? -EINVAL : -ESRCH;
    }
    pid = pid != 0 ? pid : t->process->pid;
    pgid = pgid != 0 ? pgid : pid;
    spin_lock(&g_tasklist_lock);
    int err = setpgid_locked(t, pid, pgid, &old);
    spin_unlock(&g_tasklist_lock);
    pgrp_put(old);
    return err;
}

/* pid 0 is the caller; -ESRCH when there is none. */
static int64_t group_or_session(struct task *t, int32_t pid, bool session) {
    int64_t id = -ESRCH;

    spin_lock(&g_tasklist_lock);
    struct process *p = t->process;
    if (pid != 0) {
        struct pid_slot *slot = pid_slot_get(p->container, pid);
        p = NULL;
        if (slot != NULL && slot->task != NULL) {
            p = slot->task->process;
        } else if (slot != NULL) {
            p = slot->process;
        }
    }
    if (p != NULL && p->pgrp != NULL) {
        id = session ? p->pgrp->session->id : p->pgrp->id;
    }
    spin_unlock(&g_tasklist_lock);
    return id;
}

int64_t sys_getpgid(struct task *t, const struct sysargs *args) {
    return group_or_session(t, (int32_t)args->a[0], false);
}

int64_t sys_getpgrp(struct task *t, const struct sysargs *args) {
    return group_or_session(t, 0, false);
}

int64_t sys_getsid(struct task *t, const struct sysargs *args) {
    return group_or_session(t, (int32_t)args->a[0], true);
}

int64_t sys_setsid(struct task *t, const struct sysargs *args) {
    struct process *p = t->process;
    struct pgrp *old = NULL;
    int64_t result = -EPERM;

    spin_lock(&g_tasklist_lock);
    struct pid_slot *slot = pid_slot_get(p->container, p->pid);
    if (slot != NULL && slot->pgrp == NULL && p->pgrp->session->leader != p) {
        int err = process_new_group(p, p->pid, true, &old);
        result = err != 0 ? err : p->pid;
    }
    spin_unlock(&g_tasklist_lock);
    pgrp_put(old);
    return result;
}
