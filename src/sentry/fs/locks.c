/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX record locks and open-file-description locks (fcntl(2), "Advisory record locking").
 *
 * A POSIX lock belongs to a descriptor table (the process), an OFD lock to the open file.  One
 * spinlock guards all records and the graph of who waits for whom; sleepers wait on their inode's
 * queue and try again after each change.
 */
#include "fs/locks.h"

#include "base/string.h"
#include "kernel/kmalloc.h"

#define LOCK_END_MAX   ((uint64_t)INT64_MAX)
#define LOCKS_PER_FILE 65536u /* records on one inode: a guest may not fill the heap */
#define CHAIN_MAX      64     /* waiters followed in search of a deadlock */

struct record {
    struct list link;    /* in file_locks->records */
    const void *owner;   /* struct files, or struct file for an OFD lock */
    int32_t pid;         /* -1 for an OFD lock */
    int16_t type;        /* F_RDLCK, F_WRLCK; F_UNLCK in a request */
    uint64_t start, end; /* inclusive */
};

struct blocked { /* a sleeping request */
    struct list link;
    const void *owner, *waits_for;
};

static struct spinlock g_records_lock = SPINLOCK_INIT(RANK_FILE);
static struct list g_blocked = {&g_blocked, &g_blocked}; /* guarded by g_records_lock */

struct file_locks *file_locks_get(struct inode *inode) {
    struct file_locks *seen = NULL;
    struct file_locks *l = atomic_load(&inode->locks);
    if (l != NULL) {
        return l;
    }
    l = kzalloc(sizeof(*l));
    if (l == NULL) {
        return NULL;
    }
    list_init(&l->records);
    list_init(&l->flocks);
    waitq_init(&l->changed);
    if (!atomic_cas(&inode->locks, &seen, l)) {
        kfree(l);
        l = seen;
    }
    return l;
}

void locks_free(struct inode *inode) {
    kfree(inode->locks); /* every record went with its file */
    inode->locks = NULL;
}

/* ---- records, g_records_lock held ---- */

static bool overlaps(const struct record *a, const struct record *b) {
    return a->start <= b->end && b->start <= a->end;
}

static struct record *find_conflict(struct file_locks *l, const struct record *req) {
    struct record *r;
    list_for_each_entry (r, &l->records, link) {
        if (r->owner != req->owner && overlaps(r, req) &&
            (r->type == F_WRLCK || req->type == F_WRLCK)) {
            return r;
        }
    }
    return NULL;
}

/* Records stand in the order of their start: F_GETLK tells of the first that is in the way. */
static void record_insert(struct file_locks *l, struct record *r) {
    struct record *at;
    l->record_count++;
    list_for_each_entry (at, &l->records, link) {
        if (at->start > r->start) {
            list_push_back(&at->link, &r->link); /* that is, before `at` */
            return;
        }
    }
    list_push_back(&l->records, &r->link);
}

static void record_delete(struct file_locks *l, struct record *r, struct list *freed) {
    list_del_init(&r->link);
    list_push_back(freed, &r->link);
    l->record_count--;
}

/* Takes the part that `req` covers out of the owner's record `r`.  *spare is used when it splits.
 */
static void record_cut(struct file_locks *l, struct record *r, const struct record *req,
                       struct record **spare, struct list *freed) {
    if (r->start < req->start && r->end > req->end) {
        struct record *right = *spare;
        *spare = NULL;
        *right = *r;
        right->start = req->end + 1;
        r->end = req->start - 1;
        record_insert(l, right);
    } else if (r->start < req->start) {
        r->end = req->start - 1;
    } else if (r->end > req->end) {
        r->start = req->end + 1;
        list_del_init(&r->link);
        l->record_count--;
        record_insert(l, r);
    } else {
        record_delete(l, r, freed);
    }
}

/* Gives `req` to its owner: cuts what it covers, joins what it touches.  `req` is linked unless it
 * unlocks. */
static void record_apply(struct file_locks *l, struct record *req, struct record **spare,
                         struct list *freed) {
    struct record *r, *tmp;
    list_for_each_entry_safe (r, tmp, &l->records, link) {
        if (r->owner != req->owner) {
            continue;
        }
        bool touches =
            r->start <= req->end + 1 && req->start <= r->end + 1; /* ends fit in 63 bits */
        if (r->type == req->type && touches) {
            req->start = MIN(req->start, r->start);
            req->end = MAX(req->end, r->end);
            record_delete(l, r, freed);
        } else if (overlaps(r, req)) {
            record_cut(l, r, req, spare, freed);
        }
    }
    if (req->type != F_UNLCK) {
        record_insert(l, req);
    }
}

static const void *waits_for(const void *owner) {
    struct blocked *b;
    list_for_each_entry (b, &g_blocked, link) {
        if (b->owner == owner) {
            return b->waits_for;
        }
    }
    return NULL;
}

/* Would `owner` wait, in the end, for itself if it waited for `holder`? */
static bool would_deadlock(const void *owner, const void *holder) {
    for (int i = 0; i < CHAIN_MAX && holder != NULL; i++) {
        if (holder == owner) {
            return true;
        }
        holder = waits_for(holder);
    }
    return false;
}

static void free_list(struct list *freed) {
    struct record *r, *tmp;
    list_for_each_entry_safe (r, tmp, freed, link) {
        kfree(r);
    }
}

/* ---- setting ---- */

/* Tries once.  0 (req consumed), -EAGAIN with *out_holder, -ENOLCK. */
static int try_set(struct file_locks *l, struct record *req, struct record **spare,
                   const void **out_holder) {
    struct list freed;
    int err = 0;
    list_init(&freed);
    spin_lock(&g_records_lock);
    struct record *conflict = req->type != F_UNLCK ? find_conflict(l, req) : NULL;
    if (conflict != NULL) {
        *out_holder = conflict->owner;
        err = -EAGAIN;
    } else if (req->type != F_UNLCK && l->record_count >= LOCKS_PER_FILE) {
        err = -ENOLCK;
    } else {
        record_apply(l, req, spare, &freed);
        if (req->type == F_UNLCK) {
            list_push_back(&freed, &req->link);
        }
    }
    spin_unlock(&g_records_lock);
    free_list(&freed);
    return err;
}

/* Notes that the request waits for `holder`, unless that closes a circle of processes.  Requests of
 * open files are no part of such circles: whoever shares the file may release its locks. */
static int note_blocked(struct blocked *b, const void *holder, bool ofd) {
    int err = 0;
    if (ofd) {
        return 0;
    }
    spin_lock(&g_records_lock);
    if (would_deadlock(b->owner, holder)) {
        err = -EDEADLK;
    } else {
        b->waits_for = holder;
        if (list_empty(&b->link)) {
            list_push_back(&g_blocked, &b->link);
        }
    }
    spin_unlock(&g_records_lock);
    return err;
}

static int set_waiting(struct file_locks *l, struct record *req, struct record **spare) {
    struct waiter w;
    struct blocked b = {.owner = req->owner};
    const void *holder = NULL;
    list_init(&b.link);
    waiter_init_task(&w, current);
    waitq_add(&l->changed, &w);
    int err;
    for (;;) {
        err = try_set(l, req, spare, &holder);
        if (err != -EAGAIN) {
            break;
        }
        err = note_blocked(&b, holder, req->pid == -1);
        if (err == 0) {
            err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
            err = err == -EINTR ? -ERESTARTSYS : err;
        }
        if (err != 0) {
            break;
        }
    }
    waitq_remove(&w);
    spin_lock(&g_records_lock);
    list_del_init(&b.link);
    spin_unlock(&g_records_lock);
    return err;
}

static int set_record(struct inode *inode, const struct record *want, bool wait) {
    struct file_locks *l = file_locks_get(inode);
    struct record *req = kmemdup(want, sizeof(*want));
    struct record *spare = kmalloc(sizeof(*spare));
    const void *holder;
    int err = l == NULL || req == NULL || spare == NULL ? -ENOLCK : 0;
    if (err == 0) {
        list_init(&req->link);
        err = wait ? set_waiting(l, req, &spare) : try_set(l, req, &spare, &holder);
        if (err == 0) {
            req = NULL;
            waitq_wake(&l->changed, UINT32_MAX);
        }
    }
    kfree(req);
    kfree(spare);
    return err;
}

/* Drops all records of `owner`. */
static void drop_owner(struct inode *inode, const void *owner) {
    struct file_locks *l = inode->locks;
    struct list freed;
    struct record *r, *tmp;
    list_init(&freed);
    spin_lock(&g_records_lock);
    list_for_each_entry_safe (r, tmp, &l->records, link) {
        if (r->owner == owner) {
            record_delete(l, r, &freed);
        }
    }
    spin_unlock(&g_records_lock);
    if (!list_empty(&freed)) {
        free_list(&freed);
        waitq_wake(&l->changed, UINT32_MAX);
    }
}

void locks_release_posix(struct file *f, struct files *owner) {
    drop_owner(f->inode, owner);
}

void locks_release_file(struct file *f) {
    drop_owner(f->inode, f);
    flock_release(f);
}

/* ---- fcntl(2) ---- */

static int range_of(struct file *f, const struct flock *fl, struct record *out) {
    int64_t base, start, end;
    switch (fl->l_whence) {
    case 0: /* SEEK_SET */
        base = 0;
        break;
    case 1: /* SEEK_CUR */
        base = (int64_t)f->pos;
        break;
    case 2: /* SEEK_END */
        base = (int64_t)atomic_load_relaxed(&f->inode->size);
        break;
    default:
        return -EINVAL;
    }
    if (ckd_add(&start, base, fl->l_start)) {
        return -EOVERFLOW;
    }
    if (fl->l_len > 0) {
        if (ckd_add(&end, start, fl->l_len - 1)) {
            return -EOVERFLOW;
        }
    } else if (fl->l_len < 0) {
        end = start - 1;
        if (ckd_add(&start, start, fl->l_len)) {
            return -EINVAL;
        }
    } else {
        end = INT64_MAX;
    }
    if (start < 0) {
        return -EINVAL;
    }
    out->start = (uint64_t)start;
    out->end = (uint64_t)end;
    return 0;
}

static int record_from_user(struct file *f, const struct flock *fl, bool ofd, struct record *out) {
    memset(out, 0, sizeof(*out));
    if (fl->l_type != F_RDLCK && fl->l_type != F_WRLCK && fl->l_type != F_UNLCK) {
        return -EINVAL;
    }
    if (ofd && fl->l_pid != 0) {
        return -EINVAL;
    }
    out->type = fl->l_type;
    out->owner = ofd ? (const void *)f : (const void *)current->files;
    out->pid = ofd ? -1 : current->process->pid;
    return range_of(f, fl, out);
}

static int64_t get_lock(struct file *f, struct flock *fl, const struct record *req,
                        struct uaddr arg) {
    struct file_locks *l = atomic_load(&f->inode->locks);
    if (fl->l_type == F_UNLCK) {
        return -EINVAL;
    }
    fl->l_type = F_UNLCK;
    if (l != NULL) {
        spin_lock(&g_records_lock);
        struct record *c = find_conflict(l, req);
        if (c != NULL) {
            fl->l_type = c->type;
            fl->l_whence = 0;
            fl->l_start = (int64_t)c->start;
            fl->l_len = c->end == LOCK_END_MAX ? 0 : (int64_t)(c->end - c->start + 1);
            fl->l_pid = c->pid;
        }
        spin_unlock(&g_records_lock);
    }
    return copyout(arg, fl, sizeof(*fl));
}

int64_t fcntl_lock(struct file *f, int fd, uint32_t cmd, struct uaddr arg) {
    struct flock fl;
    struct record req;
    bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
    if (copyin(&fl, arg, sizeof(fl)) != 0) {
        return -EFAULT;
    }
    int err = record_from_user(f, &fl, ofd, &req);
    if (err != 0) {
        return err;
    }
    if (cmd == F_GETLK || cmd == F_OFD_GETLK) {
        return get_lock(f, &fl, &req, arg);
    }
    if ((req.type == F_RDLCK && (f->mode & FMODE_READ) == 0) ||
        (req.type == F_WRLCK && (f->mode & FMODE_WRITE) == 0)) {
        return -EBADF;
    }
    err = set_record(f->inode, &req, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
    if (err == 0 && !ofd && req.type != F_UNLCK && !files_private(current->files)) {
        /* Another thread may have closed the descriptor meanwhile: then the lock must not outlive
         * it. */
        struct file *now = fd_get(fd, false);
        if (now != f) {
            drop_owner(f->inode, current->files);
            err = -EBADF;
        }
        file_put(now);
    }
    return err;
}
