/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flock(2): a lock on a whole file that belongs to the open file description.
 */
#include "fs/locks.h"
#include "kernel/kmalloc.h"

struct flock_entry {
    struct list link;  /* in file_locks->flocks */
    struct file *file; /* not referenced: the entry goes with the file */
    bool exclusive;
};

static struct spinlock g_flock_lock = SPINLOCK_INIT(RANK_FILE);

static struct flock_entry *find_own(struct file_locks *l, const struct file *f) {
    struct flock_entry *e;
    list_for_each_entry (e, &l->flocks, link) {
        if (e->file == f) {
            return e;
        }
    }
    return NULL;
}

static bool conflicts(struct file_locks *l, const struct file *f, bool exclusive) {
    struct flock_entry *e;
    list_for_each_entry (e, &l->flocks, link) {
        if (e->file != f && (e->exclusive || exclusive)) {
            return true;
        }
    }
    return false;
}

/* Removes the file's entry: it, or NULL. */
static struct flock_entry *take_own(struct file_locks *l, const struct file *f) {
    spin_lock(&g_flock_lock);
    struct flock_entry *e = find_own(l, f);
    if (e != NULL) {
        list_del_init(&e->link);
    }
    spin_unlock(&g_flock_lock);
    return e;
}

void flock_release(struct file *f) {
    struct file_locks *l = f->inode->locks;
    struct flock_entry *e = take_own(l, f);
    if (e != NULL) {
        kfree(e);
        waitq_wake(&l->changed, UINT32_MAX);
    }
}

/* Tries once; *fresh is consumed when it enters the list. */
static int try_flock(struct file_locks *l, struct file *f, bool exclusive,
                     struct flock_entry **fresh) {
    int err = 0;
    spin_lock(&g_flock_lock);
    struct flock_entry *own = find_own(l, f);
    if (conflicts(l, f, exclusive)) {
        err = -EAGAIN;
    } else if (own != NULL) {
        own->exclusive = exclusive;
    } else {
        (*fresh)->file = f;
        (*fresh)->exclusive = exclusive;
        list_push_back(&l->flocks, &(*fresh)->link);
        *fresh = NULL;
    }
    spin_unlock(&g_flock_lock);
    return err;
}

static int wait_flock(struct file_locks *l, struct file *f, bool exclusive,
                      struct flock_entry **fresh) {
    struct waiter w;
    int err;
    waiter_init_task(&w, current);
    waitq_add(&l->changed, &w);
    while ((err = try_flock(l, f, exclusive, fresh)) == -EAGAIN) {
        err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
        if (err != 0) {
            err = -ERESTARTSYS;
            break;
        }
    }
    waitq_remove(&w);
    return err;
}

static int do_flock(struct file *f, bool exclusive, bool wait) {
    struct file_locks *l = file_locks_get(f->inode);
    struct flock_entry *fresh = kzalloc(sizeof(*fresh));
    if (l == NULL || fresh == NULL) {
        kfree(fresh);
        return -ENOLCK;
    }
    int err = try_flock(l, f, exclusive, &fresh);
    if (err == -EAGAIN) {
        /* A conversion lets go of the old lock first (flock(2)). */
        flock_release(f);
        err = wait ? wait_flock(l, f, exclusive, &fresh) : -EAGAIN;
    } else {
        waitq_wake(&l->changed, UINT32_MAX); /* an exclusive lock may have become a shared one */
    }
    kfree(fresh);
    return err;
}

int64_t sys_flock(struct task *t, const struct sysargs *args) {
    uint32_t op = (uint32_t)args->a[1];
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    int64_t r;
    switch (op & ~(uint32_t)LOCK_NB) {
    case LOCK_UN:
        if (f->inode->locks != NULL) {
            flock_release(f);
        }
        r = 0;
        break;
    case LOCK_SH:
    case LOCK_EX:
        r = do_flock(f, (op & LOCK_EX) != 0, (op & LOCK_NB) == 0);
        break;
    default:
        r = -EINVAL;
        break;
    }
    file_put(f);
    return r;
}
