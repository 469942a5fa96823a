/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify(7), the part that programs call: instances as files, and their watches.
 */
#include "base/fmt.h"
#include "fs/fsnotify.h"
#include "fs/inotify_int.h"
#include "fs/poll.h"
#include "fs/proc/sysctl.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/errno.h>
#include <asm/ioctls.h>
#include <linux/fcntl.h>

static uint32_t g_inotify_instances; /* atomic */

/* ---- reading ---------------------------------------------------------------------------- */

/* Takes the first event if it fits `room`: NULL and *out_err 0 when there is none, -EINVAL when it
 * does not fit. */
static struct inotify_record *inotify_take(struct inotify *in, size_t room, int *out_err) {
    struct inotify_record *r = NULL;
    *out_err = 0;
    spin_lock(&in->lock);
    if (!list_empty(&in->records)) {
        r = list_first(&in->records, struct inotify_record, link);
        size_t size = sizeof(r->event) + r->event.len;
        if (size > room) {
            *out_err = -EINVAL;
            r = NULL;
        } else {
            list_del_init(&r->link);
            in->record_count--;
            in->queued_bytes -= size;
        }
    }
    spin_unlock(&in->lock);
    return r;
}

static struct inotify_record *inotify_wait(struct inotify *in, size_t room, int *out_err) {
    struct waiter w;
    struct inotify_record *r;
    waiter_init_task(&w, current);
    waitq_add(&in->waitq, &w);
    int err = 0;
    while ((r = inotify_take(in, room, out_err)) == NULL && *out_err == 0 && err == 0) {
        err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
    }
    waitq_remove(&w);
    if (r == NULL && *out_err == 0) {
        *out_err = -ERESTARTSYS;
    }
    return r;
}

static int64_t inotify_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct inotify *in = file->private;
    int64_t done = 0;
    for (;;) {
        int err;
        struct inotify_record *r = inotify_take(in, iter_left(to), &err);
        if (r == NULL && (done > 0 || err != 0)) {
            return done > 0 ? done : err;
        }
        if (r == NULL && (file->flags & O_NONBLOCK) != 0) {
            return -EAGAIN;
        }
        if (r == NULL) {
            r = inotify_wait(in, iter_left(to), &err);
        }
        if (r == NULL) {
            return err;
        }
        int64_t size = (int64_t)(sizeof(r->event) + r->event.len);
        int64_t copied = iter_copy_to(to, &r->event, (size_t)size);
        kfree(r);
        if (copied != size) {
            return done > 0 ? done : -EFAULT;
        }
        done += size;
    }
}

static uint32_t inotify_poll(struct file *file, struct poll_table *table) {
    struct inotify *in = file->private;
    poll_wait(table, &in->waitq);
    return atomic_load(&in->record_count) > 0 ? POLLIN | POLLRDNORM : 0;
}

static int64_t inotify_ioctl(struct file *file, uint32_t request, struct uaddr arg) {
    struct inotify *in = file->private;
    if (request != FIONREAD) {
        return -ENOTTY;
    }
    int32_t bytes = (int32_t)atomic_load(&in->queued_bytes);
    return copyout(arg, &bytes, sizeof(bytes));
}

/* ---- watches ---------------------------------------------------------------------------- */

static struct inotify_watch *inotify_watch_get(struct inotify *in, int32_t wd) {
    spin_lock(&in->lock);
    struct inotify_watch *w = (void *)(uintptr_t)radix_get(&in->watches, (uint64_t)wd);
    if (w != NULL) {
        ref_get(&w->ref); /* in the table it has a reference */
    }
    spin_unlock(&in->lock);
    return w;
}

static void inotify_watch_end(struct inotify_watch *w) {
    spin_lock(&w->inode->lock);
    bool detached = inotify_watch_detach(w);
    spin_unlock(&w->inode->lock);
    if (detached) {
        inotify_watch_put(w);
    }
}

/* The watch of this instance on the inode; under inode->lock. */
static struct inotify_watch *inotify_watch_on(struct inotify *in, struct inode *inode) {
    struct inotify_watch *w;
    list_for_each_entry (w, &inode->watches, inode_link) {
        if (w->instance == in) {
            return w;
        }
    }
    return NULL;
}

static int inotify_watch_update(struct inotify_watch *w, uint32_t mask) {
    if ((mask & IN_MASK_CREATE) != 0) {
        return -EEXIST;
    }
    uint32_t kept = mask & (IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK);
    w->mask = (mask & IN_MASK_ADD) != 0 ? w->mask | kept : kept;
    return w->wd;
}

/* Enters a new watch into both lists, under inode->lock: its descriptor or -errno. */
static int inotify_watch_attach(struct inotify_watch *w) {
    struct inotify *in = w->instance;
    int result;
    spin_lock(&in->lock);
    while (radix_get(&in->watches, (uint64_t)in->next_wd) != 0) { /* the numbers went round */
        in->next_wd = in->next_wd == INT32_MAX ? 1 : in->next_wd + 1;
    }
    w->wd = in->next_wd;
    result = radix_set(&in->watches, &kradix_alloc, (uint64_t)w->wd, (uint64_t)(uintptr_t)w);
    if (result == 0) {
        result = w->wd;
        in->next_wd = in->next_wd == INT32_MAX ? 1 : in->next_wd + 1;
    }
    spin_unlock(&in->lock);
    if (result >= 0) {
        w->attached = true;
        list_push_back(&w->inode->watches, &w->inode_link);
    }
    return result;
}

static struct inotify_watch *inotify_watch_new(struct inotify *in, struct inode *inode,
                                               uint32_t mask) {
    struct inotify_watch *w = kzalloc(sizeof(*w));
    if (w == NULL) {
        return NULL;
    }
    ref_init(&w->ref);
    list_init(&w->inode_link);
    w->instance = in;
    w->inode = inode;
    inode_get(inode);
    w->mask = mask & (IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK);
    return w;
}

/* Room for one more watch, and it is counted.  One that exists may be changed without. */
static bool inotify_count_watch(struct inotify *in) {
    if (!user_count_up(&in->user->inotify_watches, proc_inotify_limits().watches)) {
        return false;
    }
    if (!user_count_up(&g_fsnotify_watches, INOTIFY_WATCHES_MAX)) {
        (void)atomic_fetch_sub(&in->user->inotify_watches, 1u);
        return false;
    }
    return true;
}

static void inotify_uncount_watch(struct inotify *in) {
    (void)atomic_fetch_sub(&in->user->inotify_watches, 1u);
    (void)atomic_fetch_sub(&g_fsnotify_watches, 1u);
}

static int inotify_add(struct inotify *in, struct inode *inode, uint32_t mask) {
    bool room = inotify_count_watch(in);
    struct inotify_watch *fresh = inotify_watch_new(in, inode, mask);
    if (fresh == NULL) {
        if (room) {
            inotify_uncount_watch(in);
        }
        return -ENOMEM;
    }
    spin_lock(&inode->lock);
    struct inotify_watch *old = inotify_watch_on(in, inode);
    int result = old != NULL ? inotify_watch_update(old, mask)
                 : room      ? inotify_watch_attach(fresh)
                             : -ENOSPC;
    bool used = fresh->attached;
    spin_unlock(&inode->lock);
    if (!used) {
        if (room) {
            inotify_uncount_watch(in);
        }
        inotify_watch_put(fresh);
    }
    return result;
}

/* ---- instances -------------------------------------------------------------------------- */

/* What inotify_new counted is counted no more. */
static void inotify_free(struct inotify *in) {
    (void)atomic_fetch_sub(&in->user->inotify_instances, 1u);
    (void)atomic_fetch_sub(&g_inotify_instances, 1u);
    user_counts_put(in->user);
    kfree(in);
}

static void inotify_release(struct file *file) {
    struct inotify *in = file->private;
    for (;;) {
        uint64_t wd = 0, value = 0;
        spin_lock(&in->lock);
        struct inotify_watch *w = NULL;
        if (radix_next(&in->watches, &wd, &value)) {
            w = (void *)(uintptr_t)value;
            ref_get(&w->ref);
        }
        spin_unlock(&in->lock);
        if (w == NULL) {
            break;
        }
        inotify_watch_end(w);
        inotify_watch_put(w);
    }
    struct inotify_record *r, *next;
    list_for_each_entry_safe (r, next, &in->records, link) {
        kfree(r);
    }
    radix_clear(&in->watches, &kradix_alloc);
    inotify_free(in);
}

/* proc_pid_fdinfo(5); as many watches as find room. */
static int inotify_show_fdinfo(struct file *file, char *buf, size_t size) {
    struct inotify *in = file->private;
    uint64_t wd = 0, value;
    size_t len = 0;
    spin_lock(&in->lock);
    while (radix_next(&in->watches, &wd, &value)) {
        const struct inotify_watch *w = (const void *)(uintptr_t)value;
        uint64_t dev = w->inode->sb->dev;
        size_t n = fmt_snprintf(
            buf + len, size - len, "inotify wd:%x ino:%llx sdev:%x mask:%x ignored_mask:0\n", w->wd,
            (unsigned long long)w->inode->ino, DEV_MAJOR(dev) << 20 | DEV_MINOR(dev), w->mask);
        if (n >= size - len) {
            break;
        }
        len += n;
        wd++;
    }
    spin_unlock(&in->lock);
    return (int)len;
}

static const struct file_ops g_inotify_ops = {
    .show_fdinfo = inotify_show_fdinfo,
    .sends_sigio = true,
    .release = inotify_release,
    .read = inotify_read,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
};

/* -EMFILE when the user has, or all have, too many. */
static int inotify_new(struct inotify **out) {
    struct inotify_limits limits = proc_inotify_limits();
    struct inotify *in = kzalloc(sizeof(*in));
    int err = -ENOMEM;
    if (in == NULL) {
        return err;
    }
    in->user = user_counts_get(current->process->container, current->cred->euid);
    if (in->user == NULL) {
        goto fail;
    }
    err = -EMFILE;
    if (!user_count_up(&in->user->inotify_instances, limits.instances)) {
        goto fail;
    }
    if (!user_count_up(&g_inotify_instances, INOTIFY_INSTANCES_MAX)) {
        (void)atomic_fetch_sub(&in->user->inotify_instances, 1u);
        goto fail;
    }
    spin_init(&in->lock, RANK_FILE);
    list_init(&in->records);
    waitq_init(&in->waitq);
    in->next_wd = 1;
    in->record_max = (uint32_t)MIN(limits.events, INOTIFY_QUEUE_MAX);
    *out = in;
    return 0;
fail:
    user_counts_put(in->user);
    kfree(in);
    return err;
}

static int64_t inotify_create(uint32_t flags) {
    if ((flags & ~(uint32_t)(IN_CLOEXEC | IN_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    struct inotify *in;
    struct file *file;
    int err = inotify_new(&in);
    if (err != 0) {
        return err;
    }
    err = file_anon("inotify", &g_inotify_ops, in, O_RDONLY | (flags & O_NONBLOCK), &file);
    if (err != 0) {
        inotify_free(in);
        return err;
    }
    return fd_give(file, (flags & IN_CLOEXEC) != 0);
}

int64_t sys_inotify_init(struct task *t, const struct sysargs *args) {
    return inotify_create(0);
}

int64_t sys_inotify_init1(struct task *t, const struct sysargs *args) {
    return inotify_create((uint32_t)args->a[0]);
}

static int inotify_check_mask(uint32_t mask) {
    const uint32_t both = IN_MASK_ADD | IN_MASK_CREATE;
    const uint32_t known = IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | both |
                           IN_ISDIR | IN_ONESHOT | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED;
    if ((mask & known) == 0 || (mask & both) == both) {
        return -EINVAL;
    }
    return 0;
}

static int inotify_add_path(struct inotify *in, struct uaddr name, uint32_t mask) {
    uint32_t lookup = (mask & IN_DONT_FOLLOW) != 0 ? 0 : LOOKUP_FOLLOW;
    if ((mask & IN_ONLYDIR) != 0) {
        lookup |= LOOKUP_DIRECTORY;
    }
    struct path path;
    int err = user_path(AT_FDCWD_MOAT, name, lookup, &path);
    if (err != 0) {
        return err;
    }
    err = path_permission(&path, MAY_READ);
    if (err == 0) {
        err = inotify_add(in, path.dentry->inode, mask);
    }
    path_put(&path);
    return err;
}

/* The instance behind a descriptor: referenced file, or NULL and *out_err. */
static struct file *inotify_file(uint64_t fd, int *out_err) {
    struct file *file = fd_get((int32_t)fd, false);
    if (file == NULL) {
        *out_err = -EBADF;
        return NULL;
    }
    if (file->ops != &g_inotify_ops) {
        file_put(file);
        *out_err = -EINVAL;
        return NULL;
    }
    return file;
}

int64_t sys_inotify_add_watch(struct task *t, const struct sysargs *args) {
    uint32_t mask = (uint32_t)args->a[2];
    int result = inotify_check_mask(mask);
    if (result != 0) {
        return result;
    }
    struct file *file = inotify_file(args->a[0], &result);
    if (file != NULL) {
        result = inotify_add_path(file->private, uaddr_of(args->a[1]), mask);
        file_put(file);
    }
    return result;
}

int64_t sys_inotify_rm_watch(struct task *t, const struct sysargs *args) {
    int result = -EINVAL;
    struct file *file = inotify_file(args->a[0], &result);
    if (file == NULL) {
        return result;
    }
    int32_t wd = (int32_t)args->a[1];
    struct inotify_watch *w = wd > 0 ? inotify_watch_get(file->private, wd) : NULL;
    if (w != NULL) {
        inotify_watch_end(w);
        inotify_watch_put(w);
        result = 0;
    } else {
        result = -EINVAL;
    }
    file_put(file);
    return result;
}
