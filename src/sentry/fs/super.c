/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Superblocks, the list of filesystem types, and statfs.
 *
 * A superblock lives as long as a mount of it; its root dentry and all cached dentries go with it.
 */
#include "fs/internal.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "base/string.h"

#define FS_TYPES_MAX 24u

/* Filled at boot, before the first task; read-only afterwards. */
static const struct fs_type *g_fs_types[FS_TYPES_MAX];
static uint32_t g_fs_type_count;
static uint32_t g_next_dev = 16; /* atomic: minor of the next anonymous st_dev */

void fs_register(const struct fs_type *type) {
    kassert(g_fs_type_count < FS_TYPES_MAX);
    g_fs_types[g_fs_type_count++] = type;
}

const struct fs_type *fs_find(const char *name) {
    for (uint32_t i = 0; i < g_fs_type_count; i++) {
        if (strcmp(g_fs_types[i]->name, name) == 0) {
            return g_fs_types[i];
        }
    }
    return NULL;
}

void fs_type_for_each(bool (*fn)(const struct fs_type *type, void *arg), void *arg) {
    for (uint32_t i = 0; i < g_fs_type_count; i++) {
        if (!fn(g_fs_types[i], arg)) {
            return;
        }
    }
}

struct super_block *super_alloc(const struct fs_type *type, const struct super_ops *ops,
                                uint32_t magic) {
    struct super_block *sb = kzalloc(sizeof(*sb));
    if (sb == NULL) {
        return NULL;
    }
    ref_init(&sb->ref);
    sb->type = type;
    sb->ops = ops;
    sb->magic = magic;
    sb->blksize = PAGE_SIZE;
    sb->dev = MKDEV(0, atomic_fetch_add(&g_next_dev, 1u));
    mutex_init(&sb->rename_mutex);
    return sb;
}

#define LAST_LOOK_YIELDS 10000

/* Walks without locks hold a dentry for a moment without its mount: waits until none does.  False
 * when somebody keeps one. */
static bool dentries_gone(const struct dentry *root) {
    for (int i = 0; atomic_load(&root->ref.n) != 1; i++) {
        if (i == LAST_LOOK_YIELDS) {
            return false;
        }
        task_yield();
    }
    return true;
}

void super_put(struct super_block *sb) {
    if (sb == NULL || !ref_put(&sb->ref)) {
        return;
    }
    if (sb->root != NULL) {
        dentry_prune(sb->root);
        if (!dentries_gone(sb->root)) {
            log_error("%s: a name is still held after the last unmount; its memory is lost",
                      sb->type->name);
            return;
        }
        dentry_put(sb->root);
    }
    if (sb->ops->destroy != NULL) {
        sb->ops->destroy(sb);
    }
    kfree(sb);
}

int vfs_statfs(struct dentry *d, struct kstatfs *out) {
    struct super_block *sb = d->sb;
    memset(out, 0, sizeof(*out));
    out->type = sb->magic;
    out->bsize = out->frsize = sb->blksize;
    out->namelen = NAME_MAX_LEN;
    out->fsid = sb->dev;
    return sb->ops->statfs != NULL ? sb->ops->statfs(sb, out) : 0;
}
