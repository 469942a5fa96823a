/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount, umount2, pivot_root (mount(2), umount(2), pivot_root(2)), for those with CAP_SYS_ADMIN
 * inside.
 *
 * Only filesystems that live inside the Sentry can be mounted by a guest: a source string must
 * never name a host file.
 */
#include "base/string.h"
#include "fs/internal.h"
#include "kernel/kmalloc.h"

#include <linux/capability.h>
#include <linux/mount.h>

#define MAGIC_MASK  0xffff0000u
#define MAGIC_VALUE 0xc0ed0000u /* old programs put it in the upper half */
#define PROPAGATION ((uint32_t)(MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE))
#define PER_MOUNT                                                                                  \
    ((uint32_t)(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME))
#define UMOUNT_FORCE_    1u /* umount(2) */
#define UMOUNT_DETACH_   2u
#define UMOUNT_EXPIRE_   4u
#define UMOUNT_NOFOLLOW_ 8u

static const char *const g_guest_types[] = {"tmpfs",  "proc",   "sysfs",   "devtmpfs",
                                            "devpts", "mqueue", "cgroup2", "overlay"};

static bool guest_may_mount(const char *type) {
    for (size_t i = 0; i < ARRAY_COUNT(g_guest_types); i++) {
        if (strcmp(type, g_guest_types[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- one kind of mount(2) each ---- */

static int mount_new(const char *type, const char *source, const struct path *at, uint32_t flags,
                     const char *data) {
    struct super_block *sb;
    const struct fs_type *fs = guest_may_mount(type) ? fs_find(type) : NULL;
    if (fs == NULL) {
        return -ENODEV;
    }
    int err = fs->mount(fs, source, flags, data, &sb);
    return err != 0 ? err : mount_attach(sb, at, flags & PER_MOUNT, source, NULL);
}

/* A copy of one mount with another root, attached at a path.  g_mount_mutex held; referenced. */
static int bind_one(struct mount *from, struct dentry *root, const struct path *at,
                    struct mount **out) {
    struct mount *m = mount_alloc(from->sb, root, from->flags, from->source);
    if (m == NULL) {
        return -ENOMEM;
    }
    int err = mount_graft(m, at);
    if (err != 0) {
        mount_put(m);
        return err;
    }
    *out = m;
    return 0;
}

/* The submounts of `from` below `root` are bound below `to` as well, each level by itself; a
 * bounded depth. */
#define BIND_DEPTH_MAX 32
static int bind_children(struct mount *from, struct dentry *root, struct mount *to, int depth) {
    struct mount *child;
    if (depth > BIND_DEPTH_MAX) {
        return -ELOOP;
    }
    list_for_each_entry (child, &from->children, child_link) {
        struct mount *copy;
        if (child == to || !dentry_is_ancestor(root, child->mountpoint)) {
            continue;
        }
        struct path at = {to, child->mountpoint};
        int err = bind_one(child, child->root, &at, &copy);
        if (err == 0) {
            err = bind_children(child, child->root, copy, depth + 1);
            mount_put(copy);
        }
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static int mount_bind(const struct path *source, const struct path *at, bool recursive) {
    struct mount *m;
    mutex_lock(&g_mount_mutex);
    int err = bind_one(source->mount, source->dentry, at, &m);
    if (err == 0) {
        if (recursive) {
            err = bind_children(source->mount, source->dentry, m, 0);
        }
        mount_put(m);
    }
    mutex_unlock(&g_mount_mutex);
    return err;
}

static bool is_below(struct mount *m, const struct mount *top) {
    while (m != NULL && m != top) {
        m = m->parent;
    }
    return m != NULL;
}

static int mount_move(const struct path *source, const struct path *at) {
    struct mount *m = source->mount;
    int err = 0;
    mutex_lock(&g_mount_mutex);
    if (source->dentry != m->root || m->parent == NULL ||
        S_ISDIR(at->dentry->inode->mode) != S_ISDIR(m->root->inode->mode)) {
        err = -EINVAL;
    } else if (is_below(at->mount, m)) {
        err = -ELOOP;
    } else {
        mount_move_locked(m, at->mount, at->dentry);
    }
    mutex_unlock(&g_mount_mutex);
    return err;
}

static int mount_remount(const struct path *at, uint32_t flags, const char *data) {
    struct mount *m = at->mount;
    if (at->dentry != m->root) {
        return -EINVAL;
    }
    if ((flags & MS_BIND) == 0 && m->sb->ops->remount != NULL) {
        int err = m->sb->ops->remount(m->sb, flags, data);
        if (err != 0) {
            return err;
        }
    }
    atomic_store(&m->flags, (m->flags & ~PER_MOUNT) | (flags & PER_MOUNT));
    return 0;
}

/* ---- mount(2) ---- */

struct mount_args {
    char *type, *data;
    struct path_name source;
    bool has_source;
};

/* An optional string of at most a page.  *out NULL when the pointer is. */
static int copy_optional(struct uaddr user, char **out) {
    *out = NULL;
    if (user.v == 0) {
        return 0;
    }
    char *buf = kmalloc(PAGE_SIZE);
    if (buf == NULL) {
        return -ENOMEM;
    }
    int64_t n = copyin_str(buf, user, PAGE_SIZE);
    if (n < 0) {
        kfree(buf);
        return n == -ENAMETOOLONG ? -EINVAL : (int)n;
    }
    *out = buf;
    return 0;
}

static int mount_from_path(const struct mount_args *m, const struct path *at, uint32_t flags) {
    struct path source;
    if (!m->has_source) {
        return -EINVAL;
    }
    int err = path_lookup(AT_FDCWD_MOAT, m->source.text, LOOKUP_FOLLOW, &source);
    if (err == 0) {
        err = (flags & MS_MOVE) != 0 ? mount_move(&source, at)
                                     : mount_bind(&source, at, (flags & MS_REC) != 0);
        path_put(&source);
    }
    return err;
}

static int do_mount(const struct mount_args *m, const struct path *at, uint32_t flags) {
    const char *data = m->data != NULL ? m->data : "";
    if ((flags & MS_REMOUNT) != 0) {
        return mount_remount(at, flags, data);
    }
    if ((flags & (MS_BIND | MS_MOVE)) != 0) {
        return mount_from_path(m, at, flags);
    }
    if ((flags & PROPAGATION) != 0) {
        /* One namespace a container: nothing propagates, whatever is asked for. */
        return at->dentry == at->mount->root ? 0 : -EINVAL;
    }
    if (m->type == NULL) {
        return -EINVAL;
    }
    return mount_new(m->type, m->has_source ? m->source.text : "none", at, flags, data);
}

static int copy_mount_args(struct mount_args *m, const struct sysargs *args) {
    int err = copy_optional(uaddr_of(args->a[2]), &m->type);
    /* The last argument is text for every filesystem that a guest may mount. */
    if (err == 0) {
        err = copy_optional(uaddr_of(args->a[4]), &m->data);
    }
    if (err == 0 && args->a[0] != 0) {
        err = path_name_get(&m->source, uaddr_of(args->a[0]), true);
        m->has_source = err == 0;
    }
    return err;
}

int64_t sys_mount(struct task *t, const struct sysargs *args) {
    struct mount_args m = {0};
    struct path at;
    uint32_t flags = (uint32_t)args->a[3];
    if ((flags & MAGIC_MASK) == MAGIC_VALUE) {
        flags &= ~MAGIC_MASK;
    }
    int64_t r = copy_mount_args(&m, args);
    if (r == 0) {
        r = user_path(AT_FDCWD_MOAT, uaddr_of(args->a[1]), LOOKUP_FOLLOW, &at);
        if (r == 0) {
            r = capable(CAP_SYS_ADMIN) ? do_mount(&m, &at, flags) : -EPERM;
            path_put(&at);
        }
    }
    if (m.has_source) {
        path_name_put(&m.source);
    }
    kfree(m.type);
    kfree(m.data);
    return r;
}

/* ---- umount2 ---- */

static int umount_path(const struct path *p, uint32_t flags) {
    struct mount *m = p->mount;
    if (p->dentry != m->root || m->parent == NULL) {
        return p->dentry != m->root ? -EINVAL : -EBUSY;
    }
    if ((flags & UMOUNT_DETACH_) != 0) {
        mount_detach_tree(m);
        return 0;
    }
    int err = 0;
    mutex_lock(&g_mount_mutex);
    /* The namespace's reference and ours; anything more is an open file, a working directory or a
     * submount. */
    if (m->ns == NULL || !list_empty(&m->children)) {
        err = m->ns == NULL ? -EINVAL : -EBUSY;
    } else if (atomic_load(&m->ref.n) > 2) {
        err = (flags & UMOUNT_EXPIRE_) != 0 ? -EAGAIN : -EBUSY;
    } else {
        mount_unlink(m);
    }
    mutex_unlock(&g_mount_mutex);
    return err;
}

int64_t sys_umount2(struct task *t, const struct sysargs *args) {
    struct path p;
    uint32_t flags = (uint32_t)args->a[1];
    if ((flags & ~(UMOUNT_FORCE_ | UMOUNT_DETACH_ | UMOUNT_EXPIRE_ | UMOUNT_NOFOLLOW_)) != 0 ||
        ((flags & UMOUNT_EXPIRE_) != 0 && (flags & (UMOUNT_FORCE_ | UMOUNT_DETACH_)) != 0)) {
        return -EINVAL;
    }
    uint32_t lookup = (flags & UMOUNT_NOFOLLOW_) != 0 ? 0 : LOOKUP_FOLLOW;
    int64_t r = user_path(AT_FDCWD_MOAT, uaddr_of(args->a[0]), lookup, &p);
    if (r == 0) {
        r = capable(CAP_SYS_ADMIN) ? umount_path(&p, flags) : -EPERM;
        path_put(&p);
    }
    return r;
}

/* ---- pivot_root(2) ---- */

/* g_mount_mutex held.  The old root goes to `old_at`, the mount at `new_root` becomes the
 * namespace's root. */
static int pivot_locked(const struct path *new_root, const struct path *old_at,
                        const struct path *root) {
    struct mount *n = new_root->mount;
    if (n == root->mount || old_at->mount == root->mount) {
        return -EBUSY;
    }
    if (new_root->dentry != n->root || root->dentry != root->mount->root || n->parent == NULL ||
        root->mount->parent != NULL || n->ns != root->mount->ns || !is_below(old_at->mount, n)) {
        return -EINVAL;
    }
    mount_move_locked(n, NULL, NULL);
    mount_move_locked(root->mount, old_at->mount, old_at->dentry);
    return 0;
}

static int pivot_paths(const struct path *new_root, const struct path *old_at) {
    struct path root, cwd;
    fs_get_root(&root);
    mutex_lock(&g_mount_mutex);
    int err = pivot_locked(new_root, old_at, &root);
    mutex_unlock(&g_mount_mutex);
    if (err == 0) {
        fs_get_cwd(&cwd);
        if (cwd.mount == root.mount && cwd.dentry == root.dentry) {
            err = fs_set_cwd(new_root);
        }
        path_put(&cwd);
        fs_set_root(new_root);
    }
    path_put(&root);
    return err;
}

int64_t sys_pivot_root(struct task *t, const struct sysargs *args) {
    struct path new_root, old_at;
    if (!capable(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    int64_t r =
        user_path(AT_FDCWD_MOAT, uaddr_of(args->a[0]), LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &new_root);
    if (r != 0) {
        return r;
    }
    r = user_path(AT_FDCWD_MOAT, uaddr_of(args->a[1]), LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &old_at);
    if (r == 0) {
        r = pivot_paths(&new_root, &old_at);
        path_put(&old_at);
    }
    path_put(&new_root);
    return r;
}
