/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dentries that change place: the dcache half of a rename, and the text of a path.
 *
 * A dentry is unhashed while its name and parent change, so that a look-up sees the old place,
 * nothing (and then waits for dir->rw), or the new one.  Callers hold the parents' rw for writing,
 * and the superblock's rename_mutex when a parent changes.
 */
#include "fs/internal.h"
#include "base/string.h"

static void lock_two(struct dentry *a, struct dentry *b) {
    struct dentry *first = a < b ? a : b;
    spin_lock(&first->lock);
    spin_lock_nested(&(first == a ? b : a)->lock);
}

static void unlock_two(struct dentry *a, struct dentry *b) {
    spin_unlock(&a->lock);
    spin_unlock(&b->lock);
}

static void swap_names(struct dentry *a, struct dentry *b) {
    char tmp[DENTRY_INLINE];
    char *a_name = a->name == a->inline_name ? NULL : a->name;
    char *b_name = b->name == b->inline_name ? NULL : b->name;
    memcpy(tmp, a->inline_name, DENTRY_INLINE);
    memcpy(a->inline_name, b->inline_name, DENTRY_INLINE);
    memcpy(b->inline_name, tmp, DENTRY_INLINE);
    a->name = b_name != NULL ? b_name : a->inline_name;
    b->name = a_name != NULL ? a_name : b->inline_name;
    uint32_t len = a->name_len;
    a->name_len = b->name_len;
    b->name_len = len;
    uint64_t hash = a->hash;
    a->hash = b->hash;
    b->hash = hash;
}

static void child_leave(struct dentry *d) {
    struct dentry *parent = d->parent;
    spin_lock(&parent->lock);
    list_del_init(&d->child_link);
    spin_unlock(&parent->lock);
}

static void child_join(struct dentry *d) {
    struct dentry *parent = d->parent;
    spin_lock(&parent->lock);
    list_push_back(&parent->children, &d->child_link);
    spin_unlock(&parent->lock);
}

void dentry_replace(struct dentry *d, struct dentry *target, bool exchange) {
    struct dentry *d_parent = d->parent;
    struct dentry *t_parent = target->parent;
    dentry_drop(d);
    dentry_drop(target);
    child_leave(d);
    child_leave(target);
    lock_two(d, target);
    dentry_change_begin(d);
    dentry_change_begin(target);
    swap_names(d, target);
    /* The references on the parents change hands with the names. */
    d->parent = t_parent;
    target->parent = d_parent;
    if (!exchange) {
        target->flags |= DENTRY_DELETED;
    }
    dentry_change_end(d);
    dentry_change_end(target);
    unlock_two(d, target);
    if (!exchange) {
        dentry_unpin(target);
        dentry_prune(target);
    }
    child_join(d);
    dentry_hash(d);
    if (exchange) {
        child_join(target);
        dentry_hash(target);
    }
}

bool dentry_is_ancestor(struct dentry *ancestor, struct dentry *d) {
    for (;;) {
        if (d == ancestor) {
            return true;
        }
        if (d->parent == d) {
            return false;
        }
        d = d->parent;
    }
}

/* ---- text ---- */

struct text_end { /* text that grows towards the front of a buffer */
    char *at;
    char *start;
};

static bool text_prepend(struct text_end *t, const char *s, size_t len) {
    if ((size_t)(t->at - t->start) < len) {
        return false;
    }
    t->at -= len;
    memcpy(t->at, s, len);
    return true;
}

static bool text_prepend_name(struct text_end *t, struct dentry *d) {
    spin_lock(&d->lock);
    bool fits = text_prepend(t, d->name, d->name_len) && text_prepend(t, "/", 1);
    spin_unlock(&d->lock);
    return fits;
}

/* Moves *p, which holds references, one name up; false at the top. */
static bool step_up(struct path *p) {
    struct path up;
    if (p->dentry != p->mount->root) {
        struct dentry *parent = dentry_parent_get(p->dentry);
        bool moved = parent != p->dentry;
        dentry_put(p->dentry);
        p->dentry = parent;
        return moved;
    }
    if (!mount_up(p, &up)) {
        return false;
    }
    path_put(p);
    *p = up;
    return true;
}

bool path_below(const struct path *path, const struct path *root) {
    struct path p = *path;
    path_get(&p);
    bool found;
    do {
        found = p.dentry == root->dentry && p.mount == root->mount;
    } while (!found && step_up(&p));
    path_put(&p);
    return found;
}

char *path_text(const struct path *path, const struct path *root, char *buf, size_t size) {
    struct text_end t = {buf + size, buf};
    struct path p = *path;
    struct dentry *d = path->dentry;
    if (size == 0 || !text_prepend(&t, "", 1)) {
        return NULL;
    }
    if (d->sb == anon_super()) {
        return text_prepend(&t, d->name, d->name_len) ? t.at : NULL;
    }
    if ((d->flags & DENTRY_DELETED) != 0 && !text_prepend(&t, " (deleted)", 10)) {
        return NULL;
    }
    char *end = t.at;
    path_get(&p);
    bool fits = true;
    while (fits && !(root != NULL && p.dentry == root->dentry && p.mount == root->mount)) {
        if (p.dentry != p.mount->root && p.dentry->parent != p.dentry) {
            fits = text_prepend_name(&t, p.dentry);
        }
        if (!step_up(&p)) {
            break;
        }
    }
    path_put(&p);
    if (!fits || (t.at == end && !text_prepend(&t, "/", 1))) {
        return NULL;
    }
    return t.at;
}
