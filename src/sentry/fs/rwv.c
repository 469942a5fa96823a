/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readv, writev, preadv, pwritev, preadv2, pwritev2.
 */
#include "fs/rw.h"
#include "kernel/kmalloc.h"

#include <linux/fs.h>

int iov_copy_in(struct iov_copy *c, struct uaddr user_vecs, uint64_t count, size_t *out_total) {
    c->vecs = c->small;
    if (count > IOV_MAX_COUNT) {
        return -EINVAL;
    }
    if (count > IOV_SMALL) {
        c->vecs = kmalloc(count * sizeof(*c->vecs));
        if (c->vecs == NULL) {
            return -ENOMEM;
        }
    }
    if (count > 0 && copyin(c->vecs, user_vecs, count * sizeof(*c->vecs)) != 0) {
        iov_copy_free(c);
        return -EFAULT;
    }
    uint64_t total = 0;
    for (uint64_t i = 0; i < count; i++) {
        if ((int64_t)c->vecs[i].len < 0) {
            iov_copy_free(c);
            return -EINVAL;
        }
        c->vecs[i].len = MIN(c->vecs[i].len, RW_MAX - total);
        total += c->vecs[i].len;
    }
    *out_total = total;
    return 0;
}

void iov_copy_free(struct iov_copy *c) {
    if (c->vecs != c->small) {
        kfree(c->vecs);
        c->vecs = c->small;
    }
}

static int64_t rw_vecs(const struct sysargs *args, bool write, bool positional) {
    struct iov_copy c;
    struct iov_iter it;
    size_t total;
    struct file *f = fd_get((int)args->a[0], false);
    if (f == NULL) {
        return -EBADF;
    }
    int64_t n = iov_copy_in(&c, uaddr_of(args->a[1]), args->a[2], &total);
    if (n == 0) {
        iter_init_user_vecs(&it, c.vecs, (uint32_t)args->a[2], total);
        n = positional ? file_rw_at(f, &it, (int64_t)args->a[3], write) : file_rw(f, &it, write);
        rw_count(n, write);
        iov_copy_free(&c);
    }
    file_put(f);
    return n;
}

int64_t sys_readv(struct task *t, const struct sysargs *args) {
    return rw_vecs(args, false, false);
}

int64_t sys_writev(struct task *t, const struct sysargs *args) {
    return rw_vecs(args, true, false);
}

int64_t sys_preadv(struct task *t, const struct sysargs *args) {
    return rw_vecs(args, false, true);
}

int64_t sys_pwritev(struct task *t, const struct sysargs *args) {
    return rw_vecs(args, true, true);
}

/* The flags that ask for something the kernel would do anyway, or not at all, are accepted. */
static int64_t rw_vecs2(const struct sysargs *args, bool write) {
    uint32_t flags = (uint32_t)args->a[5];
    if ((flags & ~(uint32_t)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC)) != 0) {
        return -EOPNOTSUPP;
    }
    int64_t n = rw_vecs(args, write, (int64_t)args->a[3] != -1);
    if (write && n > 0 && (flags & (RWF_DSYNC | RWF_SYNC)) != 0) {
        struct file *f = fd_get((int)args->a[0], false);
        int err = f != NULL ? vfs_fsync(f, (flags & RWF_SYNC) == 0) : 0;
        file_put(f);
        n = err != 0 && err != -EINVAL ? err : n;
    }
    return n;
}

int64_t sys_preadv2(struct task *t, const struct sysargs *args) {
    return rw_vecs2(args, false);
}

int64_t sys_pwritev2(struct task *t, const struct sysargs *args) {
    return rw_vecs2(args, true);
}
