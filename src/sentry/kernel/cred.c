/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials: immutable once published, changed by copying; and what a user has in use.
 * Locks: task->lock guards the pointer of a task for other readers; g_users_lock the table of
 * users.
 */
#include "base/string.h"
#include "kernel/container.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/process.h"
#include "kernel/task.h"

#include <linux/capability.h>
#include <linux/errno.h>

#define USER_BUCKETS 64u

static struct spinlock g_users_lock = SPINLOCK_INIT(RANK_FS);
static struct list g_users[USER_BUCKETS]; /* guarded by g_users_lock */
static struct cred *g_root_cred;

void cred_init(void) {
    for (uint32_t i = 0; i < USER_BUCKETS; i++) {
        list_init(&g_users[i]);
    }
    g_root_cred = kzalloc(sizeof(*g_root_cred));
    kassert(g_root_cred != NULL);
    ref_init(&g_root_cred->ref);
    g_root_cred->cap_effective = CAP_FULL_SET;
    g_root_cred->cap_permitted = CAP_FULL_SET;
    g_root_cred->cap_bounding = CAP_FULL_SET;
}

const struct cred *cred_root(void) {
    return g_root_cred;
}

static struct user_counts *user_find(struct list *bucket, struct container *c, uint32_t uid) {
    struct user_counts *u;

    list_for_each_entry (u, bucket, link) {
        if (u->uid == uid && u->container == c) {
            ref_get(&u->ref);
            return u;
        }
    }
    return NULL;
}

struct user_counts *user_counts_get(struct container *c, uint32_t uid) {
    struct list *bucket = &g_users[uid % USER_BUCKETS];
    struct user_counts *fresh = kzalloc(sizeof(*fresh));

    spin_lock(&g_users_lock);
    struct user_counts *u = user_find(bucket, c, uid);
    if (u == NULL && fresh != NULL) {
        u = fresh;
        fresh = NULL;
        ref_init(&u->ref);
        u->uid = uid;
        u->container = c;
        list_push_back(bucket, &u->link);
    }
    spin_unlock(&g_users_lock);
    kfree(fresh);
    return u;
}

bool user_count_up(uint32_t *count, uint64_t limit) {
    if (atomic_fetch_add(count, 1u) < limit) {
        return true;
    }
    (void)atomic_fetch_sub(count, 1u);
    return false;
}

void user_counts_put(struct user_counts *u) {
    if (u == NULL) {
        return;
    }
    /* The count falls under the lock, so that nobody finds a user that is being freed. */
    spin_lock(&g_users_lock);
    bool last = ref_put(&u->ref);
    if (last) {
        list_del_init(&u->link);
    }
    spin_unlock(&g_users_lock);
    if (last) {
        kfree(u);
    }
}

bool cred_capable(const struct cred *c, int cap) {
    return cap >= 0 && cap <= CAP_LAST_MOAT && (c->cap_effective & (1ull << cap)) != 0;
}

bool capable(int cap) {
    return cred_capable(current->cred, cap);
}

bool cred_in_group(const struct cred *c, uint32_t gid) {
    uint32_t low = 0;
    uint32_t high = c->group_count;

    if (c->fsgid == gid) {
        return true;
    }
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (c->groups[mid] == gid) {
            return true;
        }
        if (c->groups[mid] < gid) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return false;
}

struct cred *cred_copy(const struct cred *old) {
    struct cred *c = kmemdup(old, sizeof(*old));

    if (c == NULL) {
        return NULL;
    }
    ref_init(&c->ref);
    c->groups = NULL;
    if (old->group_count != 0) {
        c->groups = kmemdup(old->groups, old->group_count * sizeof(*old->groups));
        if (c->groups == NULL) {
            kfree(c);
            return NULL;
        }
    }
    if (c->user != NULL) {
        ref_get(&c->user->ref);
    }
    return c;
}

struct cred *cred_prepare(void) {
    return cred_copy(current->cred);
}

void cred_put(const struct cred *cred) {
    struct cred *c = (struct cred *)(uintptr_t)cred;

    if (c != NULL && ref_put(&c->ref)) {
        user_counts_put(c->user);
        kfree(c->groups);
        kfree(c);
    }
}

/* A change of the real user moves the thread's count to the new user. */
static void cred_move_user(struct task *t, const struct cred *old, struct cred *c) {
    if (c->uid == old->uid) {
        return;
    }
    struct user_counts *u = user_counts_get(t->process->container, c->uid);
    if (u == NULL) {
        return; /* no memory: the thread stays on the old user's account */
    }
    (void)atomic_fetch_add(&u->processes, 1u);
    if (c->user != NULL) {
        (void)atomic_fetch_sub(&c->user->processes, 1u);
        user_counts_put(c->user);
    }
    c->user = u;
}

void cred_commit(struct cred *c) {
    struct task *t = current;
    const struct cred *old = t->cred;

    cred_move_user(t, old, c);
    if (old->euid != c->euid || old->egid != c->egid || old->fsuid != c->fsuid ||
        old->fsgid != c->fsgid || (c->cap_permitted & ~old->cap_permitted) != 0) {
        /* prctl(2), PR_SET_DUMPABLE and PR_SET_PDEATHSIG. */
        atomic_store(&t->process->dumpable, 0u);
        t->pdeath_signal = 0;
    }
    spin_lock(&t->lock);
    t->cred = c;
    spin_unlock(&t->lock);
    cred_put(old);
}
