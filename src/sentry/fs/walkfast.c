/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a path walk that takes no lock and no reference: directories and files that are in
 * the dentry cache.
 *
 * Dentries are only looked at: what is read of one may be of its next life, as may the inode it
 * points to, whose memory may even be something else by now.  Nothing read is followed further than
 * that, and nothing is believed before the dentry's seq is found unchanged: it was alive, at this
 * place, with this inode.  At the end the walk takes a reference on the dentry it came to and looks
 * at the seq once more.  Whatever is not plain (names not cached, symlinks, "..", mount points,
 * filesystems that want to be asked) is left to the walk with references, from the last good place
 * on.
 */
#include "fs/dhash.h"

/* Where the walk stands: a dentry and the seq it had when it was found. */
struct stand {
    struct dentry *dentry;
    uint32_t seq;
};

static inline bool still(const struct stand *s) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return atomic_load_relaxed(&s->dentry->seq) == s->seq;
}

/* May current search the directory?  Reads the inode's fields only. */
static inline bool searchable(const struct dentry *d) {
    struct inode *dir = atomic_load(&d->inode);
    if (dir == NULL) {
        return false;
    }
    uint32_t mode = atomic_load_relaxed(&dir->mode);
    return S_ISDIR(mode) && ((mode & 0111u) == 0111u || inode_permission_slow(dir, MAY_EXEC) == 0);
}

/* One component down, if that is plain. */
static bool step(struct stand *s, const char *name, size_t len) {
    struct stand child;
    struct dentry *d = s->dentry;
    if (len > NAME_MAX_LEN || !searchable(d) || !d->sb->dcache_stable) {
        return false;
    }
    child.dentry = dhash_peek(d, name, len, dentry_name_hash(name, len), &child.seq);
    if (child.dentry == NULL || atomic_load_relaxed(&child.dentry->mount_count) != 0) {
        return false;
    }
    struct inode *inode = atomic_load(&child.dentry->inode);
    if (inode == NULL || S_ISLNK(atomic_load_relaxed(&inode->mode))) {
        return false;
    }
    /* The parent is checked last: it was still there when the child was found below it. */
    if (!still(&child) || !still(s)) {
        return false;
    }
    if (!child.dentry->used) {
        child.dentry->used = true;
    }
    *s = child;
    return true;
}

static inline bool is_dots(const char *name, size_t len) {
    return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

const char *walk_fast(struct walk *w, const char *name) {
    struct stand s = {w->path.dentry, atomic_load(&w->path.dentry->seq)};
    const char *at = name;
    bool must_dir = w->must_dir;
    if ((s.seq & 1) != 0) {
        return name;
    }
    while (*at != '\0') {
        const char *end = at;
        while (*end != '\0' && *end != '/') {
            end++;
        }
        const char *rest = end;
        while (*rest == '/') {
            rest++;
        }
        bool last = *rest == '\0' && w->depth == 0;
        size_t len = (size_t)(end - at);
        if ((last && (w->flags & LOOKUP_PARENT) != 0) || is_dots(at, len) || !step(&s, at, len)) {
            break;
        }
        must_dir |= last && *end == '/';
        at = rest;
    }
    if (at == name || !ref_get_unless_zero(&s.dentry->ref)) {
        return name;
    }
    if (!still(&s)) {
        dentry_put(s.dentry);
        return name;
    }
    walk_set_dentry(w, s.dentry);
    w->must_dir = must_dir;
    return at;
}
