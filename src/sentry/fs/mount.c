/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount tree: which superblock hangs where, mount namespaces, and boot's own mounts.
 *
 * A mount holds its superblock, its root dentry, its parent mount and the dentry it covers.  The
 * namespace holds one reference on each of its mounts.  g_mount_mutex serialises changes;
 * g_mount_lock (spinlock) guards the pointers and the hash that path walk reads.
 */
#include "fs/internal.h"
#include "fs/poll.h"
#include "kernel/kmalloc.h"
#include "base/string.h"

#define MOUNT_BUCKETS 256u

struct mount_ns {
    struct refcount ref;  /* one for each mount in it */
    struct list mounts;   /* mount->ns_link in order of mounting; guarded by g_mount_lock */
    uint32_t mount_count; /* guarded by g_mount_lock */
};

#define MOUNTS_MAX 4096u /* in one namespace: a guest may not fill the heap with them */

struct spinlock g_mount_lock = SPINLOCK_INIT(RANK_FS);
struct mutex g_mount_mutex;
static struct list g_mount_hash[MOUNT_BUCKETS]; /* guarded by g_mount_lock */
static uint32_t g_next_mount_id = 20;           /* atomic */

void mount_init(void) {
    mutex_init(&g_mount_mutex);
    for (uint32_t i = 0; i < MOUNT_BUCKETS; i++) {
        list_init(&g_mount_hash[i]);
    }
}

static struct list *bucket_of(const struct mount *m, const struct dentry *d) {
    uint64_t h =
        ((uintptr_t)m >> 4) * 0x9e3779b97f4a7c15ull + ((uintptr_t)d >> 4) * 0xc2b2ae3d27d4eb4full;
    return &g_mount_hash[(h >> 40) & (MOUNT_BUCKETS - 1)];
}

void path_get(const struct path *p) {
    mount_get(p->mount);
    dentry_get(p->dentry);
}

void path_put(const struct path *p) {
    dentry_put(p->dentry);
    mount_put(p->mount);
}

struct mount *mount_alloc(struct super_block *sb, struct dentry *root, uint32_t flags,
                          const char *source) {
    struct mount *m = kzalloc(sizeof(*m));
    if (m == NULL) {
        return NULL;
    }
    m->source = kstrdup(source != NULL ? source : "none");
    if (m->source == NULL) {
        kfree(m);
        return NULL;
    }
    ref_init(&m->ref);
    ref_get(&sb->ref);
    m->sb = sb;
    dentry_get(root);
    m->root = root;
    m->flags = flags;
    m->id = atomic_fetch_add(&g_next_mount_id, 1u);
    list_init(&m->child_link);
    list_init(&m->children);
    list_init(&m->ns_link);
    list_init(&m->hash_link);
    return m;
}

void mount_put(struct mount *m) {
    if (m == NULL || !ref_put(&m->ref)) {
        return;
    }
    dentry_put(m->root);
    super_put(m->sb);
    kfree(m->source);
    kfree(m);
}

struct mount *mount_find(struct mount *m, struct dentry *d) {
    struct mount *pos;
    struct mount *found = NULL;
    struct list *bucket = bucket_of(m, d);
    spin_lock(&g_mount_lock);
    list_for_each_entry (pos, bucket, hash_link) {
        if (pos->parent == m && pos->mountpoint == d) {
            mount_get(pos);
            found = pos;
            break;
        }
    }
    spin_unlock(&g_mount_lock);
    return found;
}

bool mount_up(const struct path *p, struct path *out) {
    bool up = false;
    spin_lock(&g_mount_lock);
    if (p->mount->parent != NULL) {
        out->mount = p->mount->parent;
        out->dentry = p->mount->mountpoint;
        path_get(out);
        up = true;
    }
    spin_unlock(&g_mount_lock);
    return up;
}

struct mount_ns *current_mount_ns(void) {
    struct path root;
    fs_get_root(&root);
    struct mount_ns *ns = root.mount->ns;
    path_put(&root);
    return ns;
}

static struct waitq g_changes = {SPINLOCK_INIT(RANK_WAITQ),
                                 {&g_changes.waiters, &g_changes.waiters}};
static uint64_t g_change_count; /* atomic */

struct waitq *mount_changes(void) {
    return &g_changes;
}

uint64_t mount_change_count(void) {
    return atomic_load(&g_change_count);
}

static void tell_change(void) {
    (void)atomic_fetch_add(&g_change_count, 1u);
    waitq_wake(&g_changes, POLLERR | POLLPRI);
}

/* Puts `m` into the tree; the namespace takes its own reference.  g_mount_mutex held.  -ENOSPC: too
 * many. */
int mount_link(struct mount *m, struct mount *parent, struct dentry *mountpoint,
               struct mount_ns *ns) {
    spin_lock(&g_mount_lock);
    if (ns->mount_count >= MOUNTS_MAX) {
        spin_unlock(&g_mount_lock);
        return -ENOSPC;
    }
    ns->mount_count++;
    ref_get(&ns->ref);
    mount_get(m);
    m->ns = ns;
    m->detached = false;
    list_push_back(&ns->mounts, &m->ns_link);
    if (parent != NULL) {
        mount_get(parent);
        dentry_get(mountpoint);
        m->parent = parent;
        m->mountpoint = mountpoint;
        list_push_back(&parent->children, &m->child_link);
        list_push_back(bucket_of(parent, mountpoint), &m->hash_link);
        (void)atomic_fetch_add(&mountpoint->mount_count, 1u); /* only zero or not matters */
    }
    spin_unlock(&g_mount_lock);
    tell_change();
    return 0;
}

/* Takes `m` out of the tree and drops the namespace's reference; the caller holds its own.
 * g_mount_mutex held. */
void mount_unlink(struct mount *m) {
    spin_lock(&g_mount_lock);
    struct mount *parent = m->parent;
    struct dentry *mountpoint = m->mountpoint;
    struct mount_ns *ns = m->ns;
    list_del_init(&m->ns_link);
    list_del_init(&m->child_link);
    list_del_init(&m->hash_link);
    m->parent = NULL;
    m->mountpoint = NULL;
    m->ns = NULL;
    m->detached = true;
    if (mountpoint != NULL) {
        (void)atomic_fetch_sub(&mountpoint->mount_count, 1u); /* only zero or not matters */
    }
    if (ns != NULL) {
        ns->mount_count--;
    }
    spin_unlock(&g_mount_lock);
    tell_change();
    if (parent != NULL) {
        dentry_put(mountpoint);
        mount_put(parent);
    }
    if (ns != NULL) {
        if (ref_put(&ns->ref)) {
            kfree(ns);
        }
        mount_put(m);
    }
}

void mount_move_locked(struct mount *m, struct mount *parent, struct dentry *mountpoint) {
    if (parent != NULL) {
        mount_get(parent);
        dentry_get(mountpoint);
    }
    spin_lock(&g_mount_lock);
    struct mount *old_parent = m->parent;
    struct dentry *old_point = m->mountpoint;
    list_del_init(&m->child_link);
    list_del_init(&m->hash_link);
    m->parent = parent;
    m->mountpoint = mountpoint;
    if (parent != NULL) {
        list_push_back(&parent->children, &m->child_link);
        list_push_back(bucket_of(parent, mountpoint), &m->hash_link);
        (void)atomic_fetch_add(&mountpoint->mount_count, 1u); /* only zero or not matters */
    }
    if (old_point != NULL) {
        (void)atomic_fetch_sub(&old_point->mount_count, 1u);
    }
    spin_unlock(&g_mount_lock);
    tell_change();
    if (old_parent != NULL) {
        dentry_put(old_point);
        mount_put(old_parent);
    }
}

/* A descendant of `top` that has no children, or `top` itself; NULL when `top` is out of the tree.
 * Referenced. */
static struct mount *deepest(struct mount *top) {
    spin_lock(&g_mount_lock);
    struct mount *m = top;
    while (!list_empty(&m->children)) {
        m = list_first(&m->children, struct mount, child_link);
    }
    mount_get(m);
    spin_unlock(&g_mount_lock);
    return m;
}

void mount_detach_tree(struct mount *top) {
    mutex_lock(&g_mount_mutex);
    for (;;) {
        struct mount *m = deepest(top);
        bool last = m == top;
        mount_unlink(m);
        mount_put(m);
        if (last) {
            break;
        }
    }
    mutex_unlock(&g_mount_mutex);
}

void mount_ns_end(const struct path *root) {
    struct mount *top = root->mount;
    mutex_lock(&g_mount_mutex);
    while (top->parent != NULL) {
        top = top->parent; /* a pivot_root put another mount above it */
    }
    bool attached = top->ns != NULL;
    mount_get(top);
    mutex_unlock(&g_mount_mutex);
    if (attached) {
        mount_detach_tree(top);
    }
    mount_put(top);
}

static struct mount_ns *ns_alloc(void) {
    struct mount_ns *ns = kzalloc(sizeof(*ns));
    if (ns != NULL) {
        ref_init(&ns->ref);
        list_init(&ns->mounts);
    }
    return ns;
}

static int attach_as_root(struct mount *m) {
    struct mount_ns *ns = ns_alloc();
    if (ns == NULL) {
        return -ENOMEM;
    }
    mutex_lock(&g_mount_mutex);
    int err = mount_link(m, NULL, NULL, ns);
    mutex_unlock(&g_mount_mutex);
    if (ref_put(&ns->ref)) {
        kfree(ns);
    }
    return err;
}

int mount_graft(struct mount *m, const struct path *at) {
    bool at_dir = S_ISDIR(at->dentry->inode->mode);
    bool root_dir = S_ISDIR(m->root->inode->mode);
    if (at_dir != root_dir) {
        return -ENOTDIR;
    }
    if ((at->dentry->flags & DENTRY_DELETED) != 0 || at->mount->ns == NULL) {
        return -ENOENT;
    }
    return mount_link(m, at->mount, at->dentry, at->mount->ns);
}

int mount_attach(struct super_block *sb, const struct path *at, uint32_t flags, const char *source,
                 struct mount **out_mount) {
    struct mount *m = mount_alloc(sb, sb->root, flags, source);
    super_put(sb); /* the mount has its own */
    if (m == NULL) {
        return -ENOMEM;
    }
    int err;
    if (at == NULL || at->dentry == NULL) {
        err = attach_as_root(m);
    } else {
        mutex_lock(&g_mount_mutex);
        err = mount_graft(m, at);
        mutex_unlock(&g_mount_mutex);
    }
    if (err != 0 || out_mount == NULL) {
        mount_put(m);
        return err;
    }
    *out_mount = m;
    return 0;
}

int kmount(const char *type, const char *source, const char *target, uint32_t flags,
           const char *data) {
    struct path at;
    struct super_block *sb;
    const struct fs_type *fs = fs_find(type);
    if (fs == NULL) {
        return -ENODEV;
    }
    int err = path_lookup(AT_FDCWD_MOAT, target, LOOKUP_FOLLOW, &at);
    if (err != 0) {
        return err;
    }
    err = fs->mount(fs, source, flags, data != NULL ? data : "", &sb);
    if (err == 0) {
        err = mount_attach(sb, &at, flags, source, NULL);
    }
    path_put(&at);
    return err;
}

/* Under g_mount_mutex: fn must not mount, and must not drop the last reference on a path. */
void mount_for_each(bool (*fn)(struct mount *m, void *arg), void *arg) {
    struct mount_ns *ns = current_mount_ns();
    if (ns == NULL) {
        return;
    }
    mutex_lock(&g_mount_mutex);
    struct mount *m;
    list_for_each_entry (m, &ns->mounts, ns_link) {
        if (!fn(m, arg)) {
            break;
        }
    }
    mutex_unlock(&g_mount_mutex);
}
