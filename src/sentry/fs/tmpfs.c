/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs: mounting, options, inodes (tmpfs(5)).
 *
 * Names live in pinned dentries; a directory keeps its entries in a tree by cookie, so that reading
 * a directory while it is emptied neither repeats nor skips.  Data: tmpfs_file.c; directories:
 * tmpfs_dir.c.
 */
#include "fs/tmpfs.h"

#include "base/fmt.h"
#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"

#define TMPFS_SUPER_MAGIC 0x01021994u /* linux/magic.h */
#define OPTIONS_MAX       4096u

struct tmpfs_options {
    uint64_t max_pages, max_inodes;
    uint32_t mode, uid, gid;
};

static struct super_block *g_kernel_super;

/* ---- accounts ---- */

int tmpfs_charge(struct super_block *sb, uint64_t pages) {
    struct tmpfs_sb *ts = tmpfs_sb_of(sb);
    int err = 0;
    spin_lock(&ts->lock);
    if (ts->max_pages != 0 && (pages > ts->max_pages || ts->used_pages > ts->max_pages - pages)) {
        err = -ENOSPC;
    } else {
        ts->used_pages += pages;
    }
    spin_unlock(&ts->lock);
    return err;
}

void tmpfs_uncharge(struct super_block *sb, uint64_t pages) {
    struct tmpfs_sb *ts = tmpfs_sb_of(sb);
    spin_lock(&ts->lock);
    ts->used_pages -= MIN(pages, ts->used_pages);
    spin_unlock(&ts->lock);
}

static bool charge_inode(struct tmpfs_sb *ts) {
    spin_lock(&ts->lock);
    bool ok = ts->max_inodes == 0 || ts->used_inodes < ts->max_inodes;
    ts->used_inodes += ok ? 1 : 0;
    spin_unlock(&ts->lock);
    return ok;
}

static void uncharge_inode(struct tmpfs_sb *ts) {
    spin_lock(&ts->lock);
    ts->used_inodes--;
    spin_unlock(&ts->lock);
}

/* ---- inodes ---- */

/* Devices, FIFOs, sockets. */
static const struct inode_ops g_special_iops = {
    .setattr = tmpfs_setattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
};
static const struct file_ops g_no_fops;

/* The text is in inode->link from birth, so nobody asks for it. */
static int64_t link_read(struct inode *inode, char *buf, size_t size) {
    size_t len = MIN(strlen(inode->link), size);
    memcpy(buf, inode->link, len);
    return (int64_t)len;
}

static const struct inode_ops g_link_iops = {
    .readlink = link_read,
    .setattr = tmpfs_setattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
};

extern const struct inode_ops g_tmpfs_dir_iops;
extern const struct file_ops g_tmpfs_dir_fops;

static void ops_for_mode(uint32_t mode, const struct inode_ops **out_iops,
                         const struct file_ops **out_fops) {
    *out_iops = &g_special_iops;
    *out_fops = &g_no_fops;
    if (S_ISREG(mode)) {
        *out_iops = &g_tmpfs_file_iops;
        *out_fops = &g_tmpfs_file_ops;
    } else if (S_ISDIR(mode)) {
        *out_iops = &g_tmpfs_dir_iops;
        *out_fops = &g_tmpfs_dir_fops;
    } else if (S_ISLNK(mode)) {
        *out_iops = &g_link_iops;
    }
}

struct inode *tmpfs_inode_new(struct super_block *sb, const struct inode *dir, uint32_t mode,
                              uint64_t rdev, int *out_err) {
    const struct inode_ops *iops;
    const struct file_ops *fops;
    struct tmpfs_sb *ts = tmpfs_sb_of(sb);
    if (!charge_inode(ts)) {
        *out_err = -ENOSPC;
        return NULL;
    }
    ops_for_mode(mode, &iops, &fops);
    struct tmpfs_inode *ti = kzalloc(sizeof(*ti));
    struct inode *inode = ti != NULL ? inode_alloc(sb, mode, iops, fops) : NULL;
    if (inode == NULL) {
        kfree(ti);
        uncharge_inode(ts);
        *out_err = -ENOMEM;
        return NULL;
    }
    spin_init(&ti->lock, RANK_CACHE);
    simple_xattrs_init(&ti->xattrs);
    ti->next_cookie = 2; /* after "." and ".." */
    ti->seals = F_SEAL_SEAL;
    inode->private = ti;
    inode->rdev = rdev;
    inode_init_owner(inode, dir, mode);
    return inode;
}

static void tmpfs_evict(struct inode *inode) {
    struct tmpfs_inode *ti = tmpfs_of(inode);
    if (ti == NULL) {
        return;
    }
    tmpfs_drop_pages(inode, 0, UINT64_MAX);
    simple_xattrs_free(&ti->xattrs);
    uncharge_inode(tmpfs_sb_of(inode->sb));
    kfree(ti);
}

/* ---- superblock ---- */

static int tmpfs_statfs(struct super_block *sb, struct kstatfs *out) {
    struct tmpfs_sb *ts = tmpfs_sb_of(sb);
    spin_lock(&ts->lock);
    uint64_t blocks = ts->max_pages != 0 ? ts->max_pages : frames_total();
    out->blocks = blocks;
    out->bfree = out->bavail = blocks > ts->used_pages ? blocks - ts->used_pages : 0;
    out->files = ts->max_inodes;
    out->ffree = ts->max_inodes > ts->used_inodes ? ts->max_inodes - ts->used_inodes : 0;
    spin_unlock(&ts->lock);
    return 0;
}

static void tmpfs_destroy(struct super_block *sb) {
    kfree(sb->private);
}

/* A dentry that goes with its superblock while its name still exists. */
static void tmpfs_dentry_release(struct dentry *d) {
    kfree(d->private);
    d->private = NULL;
}

static int tmpfs_show_options(struct super_block *sb, char *buf, size_t size) {
    struct tmpfs_sb *ts = tmpfs_sb_of(sb);
    size_t len = 0;
    buf[0] = '\0';
    if (ts->max_pages != 0) {
        len = fmt_snprintf(buf, size, ",size=%lluk",
                           (unsigned long long)(ts->max_pages * (PAGE_SIZE / KIB)));
    }
    uint32_t mode = sb->root->inode->mode & MODE_PERM;
    if (mode != 01777 && len < size) {
        len += fmt_snprintf(buf + len, size - len, ",mode=%o", mode);
    }
    return (int)MIN(len, size);
}

/* A number with k, m, g or, of the guest's memory, %. */
static int parse_size(const char *text, size_t len, uint64_t *out_bytes) {
    char num[24];
    uint64_t value, unit = 1;
    if (len == 0 || len >= sizeof(num)) {
        return -EINVAL;
    }
    memcpy(num, text, len);
    num[len] = '\0';
    switch (num[len - 1] | 0x20) {
    case 'k':
        unit = KIB;
        break;
    case 'm':
        unit = MIB;
        break;
    case 'g':
        unit = GIB;
        break;
    case '%':
        unit = frames_total() * PAGE_SIZE / 100;
        break;
    default:
        len++;
        break;
    }
    num[len - 1] = '\0';
    if (fmt_parse_u64(num, 10, &value) != 0 || ckd_mul(out_bytes, value, unit)) {
        return -EINVAL;
    }
    return 0;
}

static int parse_number(const char *text, size_t len, unsigned int base, uint32_t *out) {
    char num[24];
    uint64_t value;
    if (len == 0 || len >= sizeof(num)) {
        return -EINVAL;
    }
    memcpy(num, text, len);
    num[len] = '\0';
    if (fmt_parse_u64(num, base, &value) != 0 || value > UINT32_MAX) {
        return -EINVAL;
    }
    *out = (uint32_t)value;
    return 0;
}

static bool key_is(const char *opt, size_t key_len, const char *name) {
    return strlen(name) == key_len && memcmp(opt, name, key_len) == 0;
}

static int parse_option(const char *opt, size_t len, struct tmpfs_options *o) {
    const char *eq = memchr(opt, '=', len);
    size_t key_len = eq != NULL ? (size_t)(eq - opt) : len;
    const char *value = eq != NULL ? eq + 1 : opt + len;
    size_t value_len = len - (size_t)(value - opt);
    uint64_t n;
    int err = 0;
    if (key_is(opt, key_len, "size")) {
        err = parse_size(value, value_len, &n);
        o->max_pages = err == 0 ? (n + PAGE_MASK) >> PAGE_SHIFT : 0;
    } else if (key_is(opt, key_len, "nr_blocks")) {
        err = parse_size(value, value_len, &o->max_pages);
    } else if (key_is(opt, key_len, "nr_inodes")) {
        err = parse_size(value, value_len, &o->max_inodes);
    } else if (key_is(opt, key_len, "mode")) {
        err = parse_number(value, value_len, 8, &o->mode);
    } else if (key_is(opt, key_len, "uid")) {
        err = parse_number(value, value_len, 10, &o->uid);
    } else if (key_is(opt, key_len, "gid")) {
        err = parse_number(value, value_len, 10, &o->gid);
    } else if (!key_is(opt, key_len, "huge") && !key_is(opt, key_len, "mpol") &&
               !key_is(opt, key_len, "inode64") && !key_is(opt, key_len, "inode32") &&
               !key_is(opt, key_len, "noswap") && len != 0) {
        err = -EINVAL;
    }
    return err;
}

static int parse_options(const char *data, struct tmpfs_options *o) {
    while (data != NULL && *data != '\0') {
        const char *comma = strchr(data, ',');
        size_t len = comma != NULL ? (size_t)(comma - data) : strnlen(data, OPTIONS_MAX);
        int err = parse_option(data, len, o);
        if (err != 0) {
            return err;
        }
        data += len + (comma != NULL ? 1 : 0);
    }
    return 0;
}

static int tmpfs_remount(struct super_block *sb, uint32_t flags, const char *data) {
    struct tmpfs_sb *ts = tmpfs_sb_of(sb);
    struct tmpfs_options o = {.max_pages = ts->max_pages, .max_inodes = ts->max_inodes};
    int err = parse_options(data, &o);
    if (err != 0) {
        return err;
    }
    spin_lock(&ts->lock);
    if ((o.max_pages != 0 && o.max_pages < ts->used_pages) ||
        (o.max_inodes != 0 && o.max_inodes < ts->used_inodes)) {
        err = -EINVAL;
    } else {
        ts->max_pages = o.max_pages;
        ts->max_inodes = o.max_inodes;
    }
    spin_unlock(&ts->lock);
    return err;
}

static const struct super_ops g_tmpfs_super_ops = {
    .statfs = tmpfs_statfs,
    .evict = tmpfs_evict,
    .destroy = tmpfs_destroy,
    .show_options = tmpfs_show_options,
    .dentry_release = tmpfs_dentry_release,
    .remount = tmpfs_remount,
};

static int tmpfs_make(const struct fs_type *type, const struct tmpfs_options *o,
                      struct super_block **out_sb) {
    int err = 0;
    struct super_block *sb = super_alloc(type, &g_tmpfs_super_ops, TMPFS_SUPER_MAGIC);
    struct tmpfs_sb *ts = kzalloc(sizeof(*ts));
    if (sb == NULL || ts == NULL) {
        kfree(ts);
        super_put(sb);
        return -ENOMEM;
    }
    spin_init(&ts->lock, RANK_FS);
    ts->max_pages = o->max_pages;
    ts->max_inodes = o->max_inodes;
    sb->private = ts;
    sb->dcache_stable = true;
    struct inode *root = tmpfs_inode_new(sb, NULL, S_IFDIR | (o->mode & MODE_PERM), 0, &err);
    if (root != NULL) {
        root->nlink = 2;
        root->uid = o->uid;
        root->gid = o->gid;
        err = super_set_root(sb, root);
    }
    if (err != 0) {
        super_put(sb);
        return err;
    }
    *out_sb = sb;
    return 0;
}

/* Mounts with no size may take half of the guest's memory. */
static int tmpfs_mount(const struct fs_type *type, const char *source, uint32_t flags,
                       const char *data, struct super_block **out_sb) {
    struct tmpfs_options o = {.max_pages = frames_total() / 2,
                              .max_inodes = frames_total() / 2,
                              .mode = 01777,
                              .uid = current->cred->fsuid,
                              .gid = current->cred->fsgid};
    int err = parse_options(data, &o);
    return err != 0 ? err : tmpfs_make(type, &o, out_sb);
}

const struct fs_type g_tmpfs_type = {.name = "tmpfs", .mount = tmpfs_mount};

void tmpfs_init(void) {
    struct tmpfs_options o = {.mode = 0755};
    int err = tmpfs_make(&g_tmpfs_type, &o, &g_kernel_super);
    kassert(err == 0);
    fs_register(&g_tmpfs_type);
}

struct super_block *tmpfs_kernel_super(void) {
    return g_kernel_super;
}
