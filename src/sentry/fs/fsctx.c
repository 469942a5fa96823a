/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root, working directory and umask of tasks: chdir, fchdir, chroot, getcwd, umask.
 */
#include "fs/internal.h"
#include "kernel/kmalloc.h"
#include "base/string.h"

#include <linux/capability.h>

struct fs_context *fs_context_create(const struct path *root) {
    struct fs_context *fs = kzalloc(sizeof(*fs));
    if (fs == NULL) {
        return NULL;
    }
    ref_init(&fs->ref);
    spin_init(&fs->lock, RANK_FS);
    fs->root = fs->cwd = *root;
    path_get(root);
    path_get(root);
    fs->umask = 022;
    return fs;
}

struct fs_context *fs_context_copy(struct fs_context *old) {
    struct fs_context *fs = kzalloc(sizeof(*fs));
    if (fs == NULL) {
        return NULL;
    }
    ref_init(&fs->ref);
    spin_init(&fs->lock, RANK_FS);
    spin_lock(&old->lock);
    fs->root = old->root;
    fs->cwd = old->cwd;
    fs->umask = old->umask;
    path_get(&fs->root);
    path_get(&fs->cwd);
    spin_unlock(&old->lock);
    return fs;
}

void fs_context_put(struct fs_context *fs) {
    if (fs == NULL || !ref_put(&fs->ref)) {
        return;
    }
    path_put(&fs->root);
    path_put(&fs->cwd);
    kfree(fs);
}

void fs_get_root(struct path *out) {
    struct fs_context *fs = current->fs;
    spin_lock(&fs->lock);
    *out = fs->root;
    path_get(out);
    spin_unlock(&fs->lock);
}

void fs_get_cwd(struct path *out) {
    struct fs_context *fs = current->fs;
    spin_lock(&fs->lock);
    *out = fs->cwd;
    path_get(out);
    spin_unlock(&fs->lock);
}

/* Puts `p` (consumed) into a field of current's context. */
static void context_set(struct path *field, const struct path *p) {
    struct fs_context *fs = current->fs;
    spin_lock(&fs->lock);
    struct path old = *field;
    *field = *p;
    spin_unlock(&fs->lock);
    path_put(&old);
}

int fs_set_cwd(const struct path *p) {
    int err =
        S_ISDIR(p->dentry->inode->mode) ? inode_permission(p->dentry->inode, MAY_EXEC) : -ENOTDIR;
    if (err == 0) {
        path_get(p);
        context_set(&current->fs->cwd, p);
    }
    return err;
}

void fs_set_root(const struct path *p) {
    path_get(p);
    context_set(&current->fs->root, p);
}

int64_t sys_chdir(struct task *t, const struct sysargs *args) {
    struct path p;
    int err = user_path(AT_FDCWD_MOAT, uaddr_of(args->a[0]), LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p);
    if (err == 0) {
        err = fs_set_cwd(&p);
        path_put(&p);
    }
    return err;
}

int64_t sys_fchdir(struct task *t, const struct sysargs *args) {
    struct file *f = fd_get((int)args->a[0], true);
    if (f == NULL) {
        return -EBADF;
    }
    int err = fs_set_cwd(&f->path);
    file_put(f);
    return err;
}

int64_t sys_chroot(struct task *t, const struct sysargs *args) {
    struct path p;
    int err = user_path(AT_FDCWD_MOAT, uaddr_of(args->a[0]), LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p);
    if (err != 0) {
        return err;
    }
    err = inode_permission(p.dentry->inode, MAY_EXEC);
    if (err == 0 && !capable(CAP_SYS_CHROOT)) {
        err = -EPERM;
    }
    if (err == 0) {
        fs_set_root(&p);
    }
    path_put(&p);
    return err;
}

int64_t sys_getcwd(struct task *t, const struct sysargs *args) {
    struct path root, cwd;
    char *buf = kmalloc(PATH_MAX_LEN);
    if (buf == NULL) {
        return -ENOMEM;
    }
    fs_get_root(&root);
    fs_get_cwd(&cwd);
    int64_t r;
    static const char outside[] = "(unreachable)"; /* what getcwd(3) turns into ENOENT */
    char *text = path_text(&cwd, &root, buf, PATH_MAX_LEN);
    if (text != NULL && !path_below(&cwd, &root)) {
        size_t len = sizeof(outside) - 1;
        text = text - buf >= (ptrdiff_t)len ? memcpy(text - len, outside, len) : NULL;
    }
    if ((cwd.dentry->flags & DENTRY_DELETED) != 0) {
        r = -ENOENT;
    } else if (text == NULL) {
        r = -ENAMETOOLONG;
    } else {
        size_t size = strlen(text) + 1;
        r = size > args->a[1] ? -ERANGE : copyout(uaddr_of(args->a[0]), text, size);
        r = r == 0 ? (int64_t)size : r;
    }
    path_put(&root);
    path_put(&cwd);
    kfree(buf);
    return r;
}

int64_t sys_umask(struct task *t, const struct sysargs *args) {
    return (int64_t)atomic_exchange(&t->fs->umask, (uint32_t)args->a[0] & 0777u);
}
