/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devpts: one instance a mount, with /dev/pts/ptmx and a node for each pty whose master is open
 * (Documentation/filesystems/devpts of the Linux source).
 *
 * devpts->lock guards the table of numbers.  A node's inode carries its number, not its terminal:
 * an open asks the table, so that a cached name of a pty that is gone leads nowhere.
 */
#include "fs/tty/pty.h"

#include "base/fmt.h"
#include "base/string.h"
#include "fs/dev/dev.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"

#include <asm-generic/errno.h>
#include <asm-generic/fcntl.h>
#include <linux/magic.h>
#include <linux/stat.h>

#define PTYS_MAX   4096u
#define INO_PTMX   2u
#define INO_FIRST  3u
#define DTYPE_CHR  2u
#define OPTION_MAX 32u
#define NOT_SET    UINT32_MAX

struct devpts {
    struct super_block *sb;
    struct inode *ptmx;
    uint32_t mode;     /* of new nodes; constant after mount, as the next two */
    uint32_t uid, gid; /* NOT_SET: the opener's */
    uint32_t ptmx_mode;
    struct spinlock lock; /* RANK_FS */
    struct tty *
        *slots; /* guarded by lock; NULL: free.  Not referenced: a terminal leaves before it ends */
    uint32_t capacity; /* guarded by lock */
};

static const struct inode_ops g_pts_inode_ops;
static const struct file_ops g_unopened_ops; /* replaced by open */

void devpts_get(struct devpts *devpts) {
    ref_get(&devpts->sb->ref);
}

void devpts_put(struct devpts *devpts) {
    super_put(devpts->sb);
}

/* ---- numbers
 * ------------------------------------------------------------------------------------- */

/* Doubles the table; nothing may be locked. */
static int grow(struct devpts *devpts, uint32_t capacity) {
    if (capacity >= PTYS_MAX) {
        return -ENOSPC;
    }
    uint32_t want = capacity == 0 ? 16 : capacity * 2;
    struct tty **slots = kcalloc(want, sizeof(struct tty *));
    if (slots == NULL) {
        return -ENOMEM;
    }
    spin_lock(&devpts->lock);
    struct tty **old = slots;
    if (devpts->capacity == capacity) {
        memcpy(slots, devpts->slots, capacity * sizeof(struct tty *));
        old = devpts->slots;
        devpts->slots = slots;
        devpts->capacity = want;
    }
    spin_unlock(&devpts->lock);
    kfree(old);
    return 0;
}

/* Puts `tty` at the lowest free number: false when the table is full, *out_capacity then tells its
 * size. */
static bool take_slot(struct devpts *devpts, struct tty *tty, uint32_t *out_capacity) {
    uint32_t i = 0;
    spin_lock(&devpts->lock);
    while (i < devpts->capacity && devpts->slots[i] != NULL) {
        i++;
    }
    bool found = i < devpts->capacity;
    if (found) {
        devpts->slots[i] = tty;
        tty->index = i;
    }
    *out_capacity = devpts->capacity;
    spin_unlock(&devpts->lock);
    return found;
}

/* The terminal with this number, referenced, if `inode` (when given) is still its node. */
static struct tty *find_tty(struct devpts *devpts, uint32_t index, const struct inode *inode) {
    struct tty *tty = NULL;
    spin_lock(&devpts->lock);
    if (index < devpts->capacity && devpts->slots[index] != NULL) {
        tty = devpts->slots[index];
        if (tty->inode != NULL && (inode == NULL || tty->inode == inode)) {
            tty_get(tty);
        } else {
            tty = NULL;
        }
    }
    spin_unlock(&devpts->lock);
    return tty;
}

/* The node with this number, referenced, or NULL. */
static struct inode *find_inode(struct devpts *devpts, uint32_t index) {
    struct inode *inode = NULL;
    spin_lock(&devpts->lock);
    if (index < devpts->capacity && devpts->slots[index] != NULL) {
        inode = devpts->slots[index]->inode;
        if (inode != NULL) {
            inode_get(inode);
        }
    }
    spin_unlock(&devpts->lock);
    return inode;
}

static struct inode *make_node(struct devpts *devpts, uint32_t index) {
    struct inode *inode =
        inode_alloc(devpts->sb, S_IFCHR | devpts->mode, &g_pts_inode_ops, &g_unopened_ops);
    if (inode == NULL) {
        return NULL;
    }
    const struct cred *cred = current->cred;
    inode->ino = INO_FIRST + index;
    inode->rdev = MKDEV(DEV_MAJOR_PTS, index);
    inode->uid = devpts->uid != NOT_SET ? devpts->uid : cred != NULL ? cred->fsuid : 0;
    inode->gid = devpts->gid != NOT_SET ? devpts->gid : cred != NULL ? cred->fsgid : 0;
    inode->private = (void *)(uintptr_t)index;
    return inode;
}

int devpts_new_pair(struct devpts *devpts, struct tty **out_tty) {
    uint32_t capacity;
    struct tty *tty = tty_alloc(devpts, 0);
    if (tty == NULL) {
        return -ENOMEM;
    }
    while (!take_slot(devpts, tty, &capacity)) {
        int err = grow(devpts, capacity);
        if (err != 0) {
            tty_put(tty);
            return err;
        }
    }
    struct inode *inode = make_node(devpts, tty->index);
    if (inode == NULL) {
        devpts_remove(tty);
        tty_put(tty);
        return -ENOMEM;
    }
    spin_lock(&devpts->lock);
    tty->inode = inode;
    spin_unlock(&devpts->lock);
    *out_tty = tty;
    return 0;
}

void devpts_remove(struct tty *tty) {
    struct devpts *devpts = tty->devpts;
    spin_lock(&devpts->lock);
    struct inode *inode = tty->inode;
    tty->inode = NULL;
    if (devpts->slots[tty->index] == tty) {
        devpts->slots[tty->index] = NULL;
    }
    spin_unlock(&devpts->lock);
    inode_put(inode);
}

/* ---- inodes
 * ---------------------------------------------------------------------------------------- */

static int devpts_setattr(struct dentry *dentry, struct iattr *attr) {
    inode_apply_attr(dentry->inode, attr); /* O_TRUNC on a terminal means nothing */
    return 0;
}

static int pts_open(struct inode *inode, struct file *file) {
    uint32_t index = (uint32_t)(uintptr_t)inode->private;
    struct tty *tty = find_tty(inode->sb->private, index, inode);
    if (tty == NULL) {
        return -EIO;
    }
    int err = pty_slave_open(tty, file);
    tty_put(tty);
    return err;
}

static bool pts_revalidate(struct dentry *dentry) {
    uint32_t index = (uint32_t)(uintptr_t)dentry->inode->private;
    struct inode *inode = find_inode(dentry->sb->private, index);
    bool same = inode == dentry->inode;
    inode_put(inode);
    return same;
}

static const struct inode_ops g_pts_inode_ops = {
    .setattr = devpts_setattr,
    .open = pts_open,
    .revalidate = pts_revalidate,
};

static int ptmx_open(struct inode *inode, struct file *file) {
    return pty_master_open(inode->sb->private, file);
}

static const struct inode_ops g_ptmx_inode_ops = {.setattr = devpts_setattr, .open = ptmx_open};

/* A number as devpts writes it: no sign, no leading zero. */
static bool parse_index(const char *name, uint32_t *out_index) {
    uint64_t value;
    if (name[0] == '0' && name[1] != '\0') {
        return false;
    }
    if (fmt_parse_u64(name, 10, &value) != 0 || value >= PTYS_MAX) {
        return false;
    }
    *out_index = (uint32_t)value;
    return true;
}

static int devpts_lookup(struct inode *dir, struct dentry *dentry) {
    struct devpts *devpts = dir->sb->private;
    struct inode *inode = NULL;
    uint32_t index;
    if (strcmp(dentry->name, "ptmx") == 0) {
        inode = devpts->ptmx;
        inode_get(inode);
    } else if (parse_index(dentry->name, &index)) {
        inode = find_inode(devpts, index);
    }
    if (inode != NULL) {
        dentry_set_inode(dentry, inode);
    }
    return 0;
}

static const struct inode_ops g_devpts_dir_ops = {
    .lookup = devpts_lookup,
    .setattr = devpts_setattr,
};

/* The lowest number in use that is not below `index`, or NOT_SET. */
static uint32_t next_used(struct devpts *devpts, uint32_t index) {
    spin_lock(&devpts->lock);
    while (index < devpts->capacity &&
           (devpts->slots[index] == NULL || devpts->slots[index]->inode == NULL)) {
        index++;
    }
    bool found = index < devpts->capacity;
    spin_unlock(&devpts->lock);
    return found ? index : NOT_SET;
}

/* Positions: 0 and 1 are the dots, 2 is ptmx, 3 + N is number N. */
static int devpts_iterate(struct file *file, struct dir_context *ctx) {
    struct devpts *devpts = file->inode->sb->private;
    char name[16];
    if (!dir_emit_dots(file, ctx)) {
        return 0;
    }
    if (ctx->pos == INO_PTMX && !dir_emit(ctx, "ptmx", 4, INO_PTMX, DTYPE_CHR, INO_FIRST)) {
        return 0;
    }
    while (ctx->pos >= INO_FIRST && ctx->pos - INO_FIRST < PTYS_MAX) {
        uint32_t index = next_used(devpts, (uint32_t)(ctx->pos - INO_FIRST));
        if (index == NOT_SET) {
            break;
        }
        size_t len = fmt_snprintf(name, sizeof(name), "%u", index);
        if (!dir_emit(ctx, name, len, INO_FIRST + index, DTYPE_CHR, INO_FIRST + index + 1)) {
            break;
        }
    }
    return 0;
}

static const struct file_ops g_devpts_dir_fops = {.iterate = devpts_iterate};

/* ---- mounting
 * --------------------------------------------------------------------------------------- */

static void devpts_destroy(struct super_block *sb) {
    struct devpts *devpts = sb->private;
    if (devpts != NULL) {
        inode_put(devpts->ptmx);
        kfree(devpts->slots);
        kfree(devpts);
    }
}

static int devpts_show_options(struct super_block *sb, char *buf, size_t size) {
    struct devpts *devpts = sb->private;
    size_t len = 0;
    buf[0] = '\0';
    if (devpts->gid != NOT_SET) {
        len = fmt_snprintf(buf, size, ",gid=%u", devpts->gid);
    }
    len += fmt_snprintf(buf + MIN(len, size), size - MIN(len, size), ",mode=%03o,ptmxmode=%03o",
                        devpts->mode, devpts->ptmx_mode);
    return (int)MIN(len, size);
}

static const struct super_ops g_devpts_super_ops = {
    .destroy = devpts_destroy,
    .show_options = devpts_show_options,
};

/* One "name=value" or "name" of the mount options. */
static int parse_option(struct devpts *devpts, char *option) {
    static const char *const silent[] = {"newinstance", "max", "rw", "ro", ""};
    uint64_t value = 0;
    char *eq = strchr(option, '=');
    if (eq != NULL) {
        *eq = '\0';
        bool octal = strcmp(option, "mode") == 0 || strcmp(option, "ptmxmode") == 0;
        if (fmt_parse_u64(eq + 1, octal ? 8 : 10, &value) != 0 || value >= NOT_SET) {
            return -EINVAL;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(silent); i++) {
        if (strcmp(option, silent[i]) == 0) {
            return 0;
        }
    }
    if (eq != NULL && strcmp(option, "mode") == 0) {
        devpts->mode = (uint32_t)value & 0777;
    } else if (eq != NULL && strcmp(option, "ptmxmode") == 0) {
        devpts->ptmx_mode = (uint32_t)value & 0777;
    } else if (eq != NULL && strcmp(option, "gid") == 0) {
        devpts->gid = (uint32_t)value;
    } else if (eq != NULL && strcmp(option, "uid") == 0) {
        devpts->uid = (uint32_t)value;
    } else {
        return -EINVAL;
    }
    return 0;
}

static int parse_options(struct devpts *devpts, const char *data) {
    char option[OPTION_MAX];
    while (data != NULL && *data != '\0') {
        const char *comma = strchr(data, ',');
        size_t len = comma != NULL ? (size_t)(comma - data) : strlen(data);
        if (len >= sizeof(option)) {
            return -EINVAL;
        }
        memcpy(option, data, len);
        option[len] = '\0';
        int err = parse_option(devpts, option);
        if (err != 0) {
            return err;
        }
        data += len + (comma != NULL ? 1 : 0);
    }
    return 0;
}

static int fill(struct super_block *sb, struct devpts *devpts, const char *data) {
    int err = parse_options(devpts, data);
    if (err != 0) {
        return err;
    }
    devpts->ptmx = inode_alloc(sb, S_IFCHR | devpts->ptmx_mode, &g_ptmx_inode_ops, &g_unopened_ops);
    struct inode *root = inode_alloc(sb, S_IFDIR | 0755, &g_devpts_dir_ops, &g_devpts_dir_fops);
    if (devpts->ptmx == NULL || root == NULL) {
        inode_put(root);
        return -ENOMEM;
    }
    devpts->ptmx->ino = INO_PTMX;
    devpts->ptmx->rdev = MKDEV(DEV_MAJOR_TTY, DEV_MINOR_PTMX);
    root->ino = 1;
    root->nlink = 2;
    return super_set_root(sb, root);
}

static int devpts_mount(const struct fs_type *type, const char *source, uint32_t flags,
                        const char *data, struct super_block **out_sb) {
    struct super_block *sb = super_alloc(type, &g_devpts_super_ops, DEVPTS_SUPER_MAGIC);
    struct devpts *devpts = kzalloc(sizeof(*devpts));
    if (sb == NULL || devpts == NULL) {
        kfree(devpts);
        super_put(sb);
        return -ENOMEM;
    }
    devpts->sb = sb;
    devpts->mode = 0600;
    devpts->uid = devpts->gid = NOT_SET;
    spin_init(&devpts->lock, RANK_FS);
    sb->private = devpts;
    int err = fill(sb, devpts, data);
    if (err != 0) {
        super_put(sb);
        return err;
    }
    *out_sb = sb;
    return 0;
}

const struct fs_type g_devpts_type = {.name = "devpts", .flags = FS_NODEV, .mount = devpts_mount};

/* ---- for the devices and the console
 * ------------------------------------------------------------------ */

struct devpts *devpts_find(const struct inode *inode) {
    struct devpts *devpts = NULL;
    if (inode != NULL && inode->sb->type == &g_devpts_type) {
        devpts = inode->sb->private;
        devpts_get(devpts);
        return devpts;
    }
    struct path path;
    if (current->fs == NULL || path_lookup(AT_FDCWD_MOAT, "/dev/pts", LOOKUP_FOLLOW, &path) != 0) {
        return NULL;
    }
    if (path.dentry->sb->type == &g_devpts_type) {
        devpts = path.dentry->sb->private;
        devpts_get(devpts);
    }
    path_put(&path);
    return devpts;
}

/* The mount's path of the slave's node. */
static int slave_path(struct tty *tty, const struct path *near, struct path *out) {
    char name[16];
    if (near->dentry->sb != tty->devpts->sb) {
        return -EIO; /* the master was opened through a node outside devpts */
    }
    size_t len = fmt_snprintf(name, sizeof(name), "%u", tty->index);
    int err = vfs_lookup_one(near->dentry->sb->root, name, len, &out->dentry);
    if (err == 0 && out->dentry->inode == NULL) {
        dentry_put(out->dentry);
        err = -EIO;
    }
    if (err == 0) {
        out->mount = near->mount;
        mount_get(out->mount);
    }
    return err;
}

int devpts_open_slave(struct tty *tty, const struct path *near, uint32_t flags,
                      struct file **out_file) {
    struct path path;
    flags &= O_ACCMODE | O_NONBLOCK | O_NOCTTY;
    int err = slave_path(tty, near, &path);
    if (err == 0) {
        err = vfs_open_path(&path, flags, out_file);
        path_put(&path);
    }
    return err;
}
