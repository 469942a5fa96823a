/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access, faccessat, faccessat2 (access(2)): the permission check with the real ids.
 */
#include "fs/internal.h"

#define ACCESS_KNOWN (AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)

static void cred_swap(const struct cred *c) {
    spin_lock(&current->lock);
    current->cred = c;
    spin_unlock(&current->lock);
}

/* Current's credentials as the real user would have them, or NULL without memory. */
static struct cred *real_cred(void) {
    struct cred *c = cred_prepare();
    if (c != NULL) {
        c->fsuid = c->uid;
        c->fsgid = c->gid;
        c->cap_effective = c->uid == 0 ? c->cap_permitted : 0;
    }
    return c;
}

static bool real_is_effective(const struct cred *c) {
    return c->fsuid == c->uid && c->fsgid == c->gid &&
           c->cap_effective == (c->uid == 0 ? c->cap_permitted : 0);
}

static int access_path(int dirfd, struct uaddr name, uint32_t mode, uint32_t flags) {
    struct path p;
    uint32_t lookup = ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
                      ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0);
    int err = user_path(dirfd, name, lookup, &p);
    if (err == 0) {
        /* R_OK, W_OK and X_OK are MAY_READ, MAY_WRITE and MAY_EXEC. */
        err = mode == 0 ? 0 : path_permission(&p, mode);
        path_put(&p);
    }
    return err;
}

static int64_t access_at(int dirfd, uint64_t name, uint32_t mode, uint32_t flags) {
    const struct cred *own = current->cred;
    if ((mode & ~7u) != 0 || (flags & ~(uint32_t)ACCESS_KNOWN) != 0) {
        return -EINVAL;
    }
    if ((flags & AT_EACCESS) != 0 || real_is_effective(own)) {
        return access_path(dirfd, uaddr_of(name), mode, flags);
    }
    struct cred *real = real_cred();
    if (real == NULL) {
        return -ENOMEM;
    }
    cred_swap(real);
    int err = access_path(dirfd, uaddr_of(name), mode, flags);
    cred_swap(own);
    cred_put(real);
    return err;
}

int64_t sys_access(struct task *t, const struct sysargs *args) {
    return access_at(AT_FDCWD_MOAT, args->a[0], (uint32_t)args->a[1], 0);
}

int64_t sys_faccessat(struct task *t, const struct sysargs *args) {
    return access_at((int)args->a[0], args->a[1], (uint32_t)args->a[2], 0);
}

int64_t sys_faccessat2(struct task *t, const struct sysargs *args) {
    return access_at((int)args->a[0], args->a[1], (uint32_t)args->a[2], (uint32_t)args->a[3]);
}
