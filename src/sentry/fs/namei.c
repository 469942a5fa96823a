/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Path walk (path_resolution(7), openat2(2)).
 *
 * A walk stands on a (mount, dentry) and takes one component at a time out of the dentry cache;
 * only a miss takes dir->rw and asks the filesystem.  It starts with borrowed references where it
 * can: a fs context that nobody shares cannot change under its own task.  Symlinks are followed
 * without recursion: the rest of the name goes on a stack. Boundary: names come from guests; they
 * are copied once (path_name_get) before they are looked at.
 */
#include "fs/internal.h"
#include "kernel/kmalloc.h"
#include "base/string.h"

/* ---- names ---- */

int path_name_get(struct path_name *n, struct uaddr u, bool allow_empty) {
    n->text = n->small;
    int64_t len = copyin_str(n->small, u, sizeof(n->small));
    if (unlikely(len == -ENAMETOOLONG)) {
        n->text = kmalloc(PATH_MAX_LEN);
        if (n->text == NULL) {
            return -ENOMEM;
        }
        len = copyin_str(n->text, u, PATH_MAX_LEN);
    }
    if (len < 0 || (len == 0 && !allow_empty)) {
        path_name_put(n);
        return len < 0 ? (int)len : -ENOENT;
    }
    return 0;
}

void path_name_put(struct path_name *n) {
    if (unlikely(n->text != n->small)) {
        kfree(n->text);
        n->text = n->small;
    }
}

int user_path_copy(struct uaddr name, bool allow_empty, char **out) {
    struct path_name n;
    int err = path_name_get(&n, name, allow_empty);
    if (err != 0) {
        return err;
    }
    if (n.text == n.small) {
        n.text = kstrdup(n.small);
    }
    *out = n.text;
    return n.text == NULL ? -ENOMEM : 0;
}

/* ---- the walk's references ---- */

void walk_set_dentry(struct walk *w, struct dentry *d) {
    if (w->own_dentry) {
        dentry_put(w->path.dentry);
    }
    w->path.dentry = d;
    w->own_dentry = true;
}

/* Moves to a path whose references become the walk's. */
static void walk_set_path(struct walk *w, const struct path *p) {
    walk_set_dentry(w, p->dentry);
    if (w->own_mount) {
        mount_put(w->path.mount);
    }
    w->path.mount = p->mount;
    w->own_mount = true;
}

/* Moves to the root that bounds the walk. */
static void walk_to_root(struct walk *w) {
    path_get(&w->root);
    walk_set_path(w, &w->root);
}

void walk_take(struct walk *w, struct path *out) {
    if (!w->own_mount) {
        mount_get(w->path.mount);
    }
    if (!w->own_dentry) {
        dentry_get(w->path.dentry);
    }
    *out = w->path;
    /* What the walk owned is the caller's now; `start`, root or base keep the rest. */
    w->own_mount = w->own_dentry = false;
}

void walk_end(struct walk *w) {
    if (w->own_dentry) {
        dentry_put(w->path.dentry);
    }
    if (w->own_mount) {
        mount_put(w->path.mount);
    }
    if (w->own_root) {
        path_put(&w->root);
    }
    if (w->base != NULL) {
        file_put(w->base);
    }
    for (uint32_t i = 0; i < w->links; i++) {
        inode_put(w->bodies[i].inode);
        kfree(w->bodies[i].buf);
    }
}

/* ---- steps ---- */

/* Crosses whatever is mounted on the walk's dentry. */
static int cross_mounts(struct walk *w) {
    while (unlikely(atomic_load_relaxed(&w->path.dentry->mount_count) != 0)) {
        struct mount *m = mount_find(w->path.mount, w->path.dentry);
        if (m == NULL) {
            return 0; /* mounted on in another namespace or through another bind */
        }
        if ((w->flags & LOOKUP_NO_XDEV) != 0) {
            mount_put(m);
            return -EXDEV;
        }
        dentry_get(m->root);
        walk_set_path(w, &(struct path){m, m->root});
    }
    return 0;
}

int walk_enter(struct walk *w, struct dentry *d) {
    walk_set_dentry(w, d);
    return cross_mounts(w);
}

/* Is `p` still below the walk's root?  A rename meanwhile could have moved it out. */
static bool below_root(struct walk *w) {
    struct path p = w->path;
    path_get(&p);
    for (;;) {
        if (p.dentry == w->root.dentry && p.mount == w->root.mount) {
            path_put(&p);
            return true;
        }
        struct path up;
        if (p.dentry != p.mount->root) {
            up.mount = p.mount;
            mount_get(up.mount);
            up.dentry = dentry_parent_get(p.dentry);
            if (up.dentry == p.dentry) {
                path_put(&up);
                break;
            }
        } else if (!mount_up(&p, &up)) {
            break;
        }
        path_put(&p);
        p = up;
    }
    path_put(&p);
    return false;
}

static int walk_dotdot(struct walk *w) {
    bool bounded = (w->flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)) != 0;
    if (unlikely(bounded && !below_root(w))) {
        return -EAGAIN;
    }
    for (;;) {
        if (w->path.dentry == w->root.dentry && w->path.mount == w->root.mount) {
            return (w->flags & LOOKUP_BENEATH) != 0 ? -EXDEV : 0;
        }
        if (w->path.dentry != w->path.mount->root) {
            walk_set_dentry(w, dentry_parent_get(w->path.dentry));
            return cross_mounts(w);
        }
        struct path up;
        if (!mount_up(&w->path, &up)) {
            return 0;
        }
        walk_set_path(w, &up);
        if ((w->flags & LOOKUP_NO_XDEV) != 0) {
            return -EXDEV;
        }
    }
}

static int lookup_child(struct dentry *dir, const char *name, size_t len, struct dentry **out) {
    if (unlikely(len > NAME_MAX_LEN)) {
        return -ENAMETOOLONG;
    }
    struct dentry *d = dentry_find(dir, name, len, dentry_name_hash(name, len));
    if (likely(d != NULL && dir->sb->dcache_stable)) {
        *out = d;
        return 0;
    }
    dentry_put(d);
    return vfs_lookup_one(dir, name, len, out);
}

/* Follows the symlink `d` (consumed): *out_next is the text to go on with, NULL after a magic link.
 */
static int follow_link(struct walk *w, struct dentry *d, const char **out_next) {
    struct inode *inode = d->inode;
    struct path target;
    const char *text = NULL;
    char *buf = NULL;
    int err = 0;
    if (w->links >= SYMLINK_MAX || (w->flags & LOOKUP_NO_SYMLINKS) != 0) {
        err = -ELOOP;
    } else if (inode->ops->follow == NULL) {
        err = inode_link_text(inode, &text, &buf);
    } else if ((w->flags & LOOKUP_NO_MAGICLINKS) != 0) {
        err = -ELOOP;
    } else if ((w->flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)) != 0) {
        err = -EXDEV;
    } else {
        err = inode->ops->follow(d, &target);
    }
    if (err == 0) {
        inode_get(inode);
        w->bodies[w->links].inode = inode;
        w->bodies[w->links].buf = buf;
        w->links++;
    }
    dentry_put(d);
    *out_next = text;
    if (err != 0) {
        return err;
    }
    if (text == NULL) {
        bool other = target.mount != w->path.mount;
        walk_set_path(w, &target);
        return other && (w->flags & LOOKUP_NO_XDEV) != 0 ? -EXDEV : 0;
    }
    if (*text == '\0') {
        return -ENOENT;
    }
    if (*text == '/') {
        if ((w->flags & LOOKUP_BENEATH) != 0) {
            return -EXDEV;
        }
        bool other = w->root.mount != w->path.mount;
        walk_to_root(w);
        return other && (w->flags & LOOKUP_NO_XDEV) != 0 ? -EXDEV : 0;
    }
    return 0;
}

static inline enum last_kind component_kind(const char *name, size_t len) {
    if (likely(name[0] != '.' || len > 2)) {
        return LAST_NORMAL;
    }
    if (len == 1) {
        return LAST_DOT;
    }
    return name[1] == '.' ? LAST_DOTDOT : LAST_NORMAL;
}

/* One normal component.  *out_next: text of a symlink to go on with, or NULL. */
static int walk_component(struct walk *w, const char *name, size_t len, bool follow,
                          const char **out_next) {
    struct dentry *d;
    *out_next = NULL;
    int err = lookup_child(w->path.dentry, name, len, &d);
    if (unlikely(err != 0)) {
        return err;
    }
    struct inode *inode = atomic_load(&d->inode);
    if (inode == NULL) {
        dentry_put(d);
        return -ENOENT;
    }
    if (unlikely(S_ISLNK(inode->mode)) && follow) {
        return follow_link(w, d, out_next);
    }
    return walk_enter(w, d);
}

static inline int check_dir_search(struct walk *w) {
    struct inode *dir = w->path.dentry->inode;
    if (unlikely(!S_ISDIR(dir->mode))) {
        return -ENOTDIR;
    }
    return inode_may_search(dir);
}

static int walk_done(struct walk *w) {
    if ((w->must_dir || (w->flags & LOOKUP_DIRECTORY) != 0) &&
        !S_ISDIR(w->path.dentry->inode->mode)) {
        return -ENOTDIR;
    }
    return 0;
}

/* Walks the whole name, or with LOOKUP_PARENT all but its last component. */
static int walk_text(struct walk *w, const char *name) {
    bool try_fast = true;
    w->last_kind = LAST_ROOT;
    for (;;) {
        while (*name == '/') {
            name++;
        }
        if (try_fast) {
            name = walk_fast(w, name);
            try_fast = false;
        }
        if (*name == '\0') {
            if (w->depth == 0) {
                return walk_done(w);
            }
            name = w->stack[--w->depth];
            try_fast = true;
            continue;
        }
        int err = check_dir_search(w);
        if (unlikely(err != 0)) {
            return err;
        }
        const char *end = name + 1;
        while (*end != '\0' && *end != '/') {
            end++;
        }
        size_t len = (size_t)(end - name);
        const char *rest = end;
        while (*rest == '/') {
            rest++;
        }
        bool last = *rest == '\0' && w->depth == 0;
        w->must_dir |= last && *end == '/';
        enum last_kind kind = component_kind(name, len);
        if (last && (w->flags & LOOKUP_PARENT) != 0) {
            w->last = name;
            w->last_len = (uint32_t)len;
            w->last_kind = kind;
            return 0;
        }
        const char *next = NULL;
        if (likely(kind == LAST_NORMAL)) {
            bool follow = !last || w->must_dir || (w->flags & LOOKUP_FOLLOW) != 0;
            err = walk_component(w, name, len, follow, &next);
        } else if (kind == LAST_DOTDOT) {
            err = walk_dotdot(w);
        }
        if (unlikely(err != 0)) {
            return err;
        }
        if (next != NULL) {
            if (*rest != '\0') {
                w->stack[w->depth++] = rest; /* never more than links followed */
            }
            name = next;
            try_fast = true;
        } else {
            name = rest;
        }
    }
}

int walk_follow_last(struct walk *w, struct dentry *link) {
    const char *next;
    int err = follow_link(w, link, &next);
    if (err != 0) {
        return err;
    }
    if (next == NULL) {
        w->last_kind = LAST_ROOT;
        return 0;
    }
    return walk_text(w, next);
}

int walk_lookup_last(struct walk *w, struct dentry **out) {
    return lookup_child(w->path.dentry, w->last, w->last_len, out);
}

/* ---- starting ---- */

static void walk_reset(struct walk *w, uint32_t flags) {
    w->flags = flags;
    w->own_mount = w->own_dentry = w->own_root = false;
    w->base = NULL;
    w->links = w->depth = 0;
    w->must_dir = false;
    w->last = NULL;
    w->last_len = 0;
}

/* Root, and the working directory if `cwd`: borrowed from a private fs context, else referenced. */
static void walk_from_context(struct walk *w, bool cwd) {
    struct fs_context *fs = current->fs;
    if (likely(atomic_load_relaxed(&fs->ref.n) == 1)) {
        w->root = fs->root;
        w->path = cwd ? fs->cwd : fs->root;
        return;
    }
    spin_lock(&fs->lock);
    w->root = fs->root;
    path_get(&w->root);
    w->path = w->root;
    if (cwd) {
        w->path = fs->cwd;
        path_get(&w->path);
    }
    spin_unlock(&fs->lock);
    w->own_root = true;
    w->own_mount = w->own_dentry = cwd;
}

static int walk_from_fd(struct walk *w, int dirfd) {
    walk_from_context(w, false);
    w->base = fd_get(dirfd, true);
    if (w->base == NULL) {
        return -EBADF;
    }
    w->path = w->base->path;
    return 0;
}

static void walk_bound_here(struct walk *w) {
    if (w->own_root) {
        path_put(&w->root);
    }
    w->root = w->path;
    path_get(&w->root);
    w->own_root = true;
}

int walk_start(struct walk *w, int dirfd, const char *name, uint32_t flags) {
    bool bounded = (flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)) != 0;
    bool absolute = name[0] == '/';
    int err = 0;
    walk_reset(w, flags);
    if (absolute && !bounded) {
        walk_from_context(w, false);
    } else if (dirfd == AT_FDCWD_MOAT) {
        walk_from_context(w, true);
    } else {
        err = walk_from_fd(w, dirfd);
    }
    if (err != 0) {
        return err;
    }
    if (unlikely(bounded)) {
        walk_bound_here(w);
        if (absolute && (flags & LOOKUP_BENEATH) != 0) {
            return -EXDEV;
        }
    }
    if (unlikely(name[0] == '\0')) {
        w->last_kind = LAST_ROOT;
        return (flags & LOOKUP_EMPTY) != 0 ? walk_done(w) : -ENOENT;
    }
    return walk_text(w, name);
}

int walk_start_at(struct walk *w, const struct path *start, const struct path *root,
                  const char *name, uint32_t flags) {
    walk_reset(w, flags);
    walk_from_context(w, false);
    if (root != NULL) {
        if (w->own_root) {
            path_put(&w->root);
        }
        w->root = *root; /* the caller holds it */
        w->own_root = false;
    }
    w->path = name[0] == '/' ? w->root : *start;
    if (name[0] == '\0') {
        w->last_kind = LAST_ROOT;
        return (flags & LOOKUP_EMPTY) != 0 ? walk_done(w) : -ENOENT;
    }
    return walk_text(w, name);
}

/* ---- look-ups for others ---- */

static int walk_result(struct walk *w, int err, struct path *out) {
    if (err == 0) {
        walk_take(w, out);
    }
    walk_end(w);
    return err;
}

int path_lookup(int dirfd, const char *name, uint32_t flags, struct path *out) {
    struct walk w;
    return walk_result(&w, walk_start(&w, dirfd, name, flags), out);
}

int path_lookup_at(const struct path *start, const struct path *root, const char *name,
                   uint32_t flags, struct path *out) {
    struct walk w;
    return walk_result(&w, walk_start_at(&w, start, root, name, flags), out);
}

int user_path(int dirfd, struct uaddr name, uint32_t flags, struct path *out) {
    struct path_name n;
    int err = path_name_get(&n, name, (flags & LOOKUP_EMPTY) != 0);
    if (err != 0) {
        return err;
    }
    err = path_lookup(dirfd, n.text, flags, out);
    path_name_put(&n);
    return err;
}
