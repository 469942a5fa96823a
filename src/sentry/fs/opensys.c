/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open, openat, openat2, creat, close, close_range.
 */
#include "fs/internal.h"
#include "base/string.h"

#include <linux/close_range.h>
#include <linux/openat2.h>

#define OPEN_FLAGS_KNOWN                                                                           \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC |         \
     FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_SYNC | \
     O_PATH | O_TMPFILE)

/* F_GETFL shows it for every file that a 64-bit program opened. */
#define LARGEFILE 0100000u

static int64_t open_named(int dirfd, struct uaddr user_name, uint32_t flags, uint32_t mode,
                          uint32_t resolve) {
    struct path_name name;
    struct file *f;
    int64_t r = path_name_get(&name, user_name, false);
    if (r != 0) {
        return r;
    }
    r = vfs_open(dirfd, name.text, flags, mode, resolve, &f);
    path_name_put(&name);
    if (r != 0) {
        return r;
    }
    if ((f->mode & FMODE_PATH) == 0) {
        f->flags |= LARGEFILE;
    }
    return fd_give(f, (flags & O_CLOEXEC) != 0);
}

int64_t sys_open(struct task *t, const struct sysargs *args) {
    return open_named(AT_FDCWD_MOAT, uaddr_of(args->a[0]), (uint32_t)args->a[1] & OPEN_FLAGS_KNOWN,
                      (uint32_t)args->a[2], 0);
}

int64_t sys_openat(struct task *t, const struct sysargs *args) {
    return open_named((int)args->a[0], uaddr_of(args->a[1]),
                      (uint32_t)args->a[2] & OPEN_FLAGS_KNOWN, (uint32_t)args->a[3], 0);
}

int64_t sys_creat(struct task *t, const struct sysargs *args) {
    return open_named(AT_FDCWD_MOAT, uaddr_of(args->a[0]), O_CREAT | O_WRONLY | O_TRUNC,
                      (uint32_t)args->a[1], 0);
}

/* Copies a struct that grows with versions (openat2(2)): the known part, the rest must be zero. */
static int copy_open_how(struct open_how *how, struct uaddr src, size_t size) {
    uint8_t rest[64];
    if (size < sizeof(*how)) {
        return -EINVAL;
    }
    if (size > PAGE_SIZE) {
        return -E2BIG;
    }
    if (copyin(how, src, sizeof(*how)) != 0) {
        return -EFAULT;
    }
    for (size_t at = sizeof(*how); at < size; at += sizeof(rest)) {
        size_t n = MIN(size - at, sizeof(rest));
        if (copyin(rest, uaddr_add(src, at), n) != 0) {
            return -EFAULT;
        }
        for (size_t i = 0; i < n; i++) {
            if (rest[i] != 0) {
                return -E2BIG;
            }
        }
    }
    return 0;
}

static int check_open_how(const struct open_how *how) {
    const uint64_t resolve_known = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS |
                                   RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED;
    const uint64_t creates = O_CREAT | (O_TMPFILE & ~O_DIRECTORY);
    if ((how->flags & ~(uint64_t)OPEN_FLAGS_KNOWN) != 0 || (how->resolve & ~resolve_known) != 0) {
        return -EINVAL;
    }
    if ((how->resolve & RESOLVE_BENEATH) != 0 && (how->resolve & RESOLVE_IN_ROOT) != 0) {
        return -EINVAL;
    }
    if ((how->flags & creates) != 0 ? (how->mode & ~07777ull) != 0 : how->mode != 0) {
        return -EINVAL;
    }
    if ((how->flags & O_PATH) != 0 &&
        (how->flags & ~(uint64_t)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) != 0) {
        return -EINVAL;
    }
    if ((how->resolve & RESOLVE_CACHED) != 0 && (how->flags & (creates | O_TRUNC)) != 0) {
        return -EAGAIN;
    }
    return 0;
}

static uint32_t resolve_to_lookup(uint64_t resolve) {
    return ((resolve & RESOLVE_NO_XDEV) != 0 ? LOOKUP_NO_XDEV : 0u) |
           ((resolve & RESOLVE_NO_MAGICLINKS) != 0 ? LOOKUP_NO_MAGICLINKS : 0u) |
           ((resolve & RESOLVE_NO_SYMLINKS) != 0 ? LOOKUP_NO_SYMLINKS | LOOKUP_NO_MAGICLINKS : 0u) |
           ((resolve & RESOLVE_BENEATH) != 0 ? LOOKUP_BENEATH : 0u) |
           ((resolve & RESOLVE_IN_ROOT) != 0 ? LOOKUP_IN_ROOT : 0u);
}

int64_t sys_openat2(struct task *t, const struct sysargs *args) {
    struct open_how how;
    int err = copy_open_how(&how, uaddr_of(args->a[2]), args->a[3]);
    if (err == 0) {
        err = check_open_how(&how);
    }
    if (err != 0) {
        return err;
    }
    return open_named((int)args->a[0], uaddr_of(args->a[1]), (uint32_t)how.flags,
                      (uint32_t)how.mode, resolve_to_lookup(how.resolve));
}

int64_t sys_close(struct task *t, const struct sysargs *args) {
    return fd_close((int)args->a[0]);
}

int64_t sys_close_range(struct task *t, const struct sysargs *args) {
    uint32_t first = (uint32_t)args->a[0], last = (uint32_t)args->a[1],
             flags = (uint32_t)args->a[2];
    if ((flags & ~(uint32_t)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) != 0 || first > last) {
        return -EINVAL;
    }
    int err = (flags & CLOSE_RANGE_UNSHARE) != 0 ? files_unshare(t) : 0;
    if (err != 0) {
        return err;
    }
    files_close_range(first, last, (flags & CLOSE_RANGE_CLOEXEC) != 0);
    return 0;
}
