/* SPDX-License-Identifier: Apache-2.0 */
/* Mounting: "lower_chan=N,lower_export=M" puts a tmpfs of its own over what the Gofer of channel N
 * exports as M. */
#include "base/fmt.h"
#include "base/string.h"
#include "fs/internal.h"
#include "fs/overlay/overlay.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"

#include <asm/errno.h>
#include <linux/mount.h>

#define OVERLAY_SUPER_MAGIC 0x794c7630u /* linux/magic.h */
#define LOWER_KEY           "lower_"

/* The lower layer's options are ours without the prefix. */
static int lower_options(const char *data, char *out, size_t size) {
    size_t len = 0;
    if (data == NULL || data[0] == '\0') {
        return -EINVAL;
    }
    out[0] = '\0';
    while (*data != '\0') {
        const char *comma = strchr(data, ',');
        size_t one = comma == NULL ? strlen(data) : (size_t)(comma - data);
        if (one <= strlen(LOWER_KEY) || memcmp(data, LOWER_KEY, strlen(LOWER_KEY)) != 0) {
            return -EINVAL;
        }
        len += fmt_snprintf(out + len, size - len, "%.*s,", (int)(one - strlen(LOWER_KEY)),
                            data + strlen(LOWER_KEY));
        if (len >= size) {
            return -EINVAL;
        }
        data += one + (comma == NULL ? 0 : 1);
    }
    len += fmt_snprintf(out + len, size - len, "ro,exclusive");
    return len < size ? 0 : -EINVAL;
}

/* Mounts a layer where nobody else sees it. */
static int mount_layer(const struct fs_type *type, const char *options, uint32_t flags,
                       struct mount **out) {
    struct super_block *sb;
    int err = type->mount(type, "overlay", 0, options, &sb);
    if (err != 0) {
        return err;
    }
    *out = mount_alloc(sb, sb->root, flags, "overlay");
    super_put(sb); /* the mount has its own */
    return *out == NULL ? -ENOMEM : 0;
}

static int mount_layers(struct ovl_sb *os, const char *data) {
    char options[128];
    int err = lower_options(data, options, sizeof(options));
    if (err == 0) {
        err = mount_layer(&g_fuse_type, options, MS_RDONLY | MS_NOATIME, &os->lower);
    }
    if (err == 0) {
        err = mount_layer(&g_tmpfs_type, "size=0,nr_inodes=0,mode=0755", 0, &os->upper);
    }
    if (err == 0 && !S_ISDIR(os->lower->root->inode->mode)) {
        err = -ENOTDIR;
    }
    return err;
}

/* The upper root looks like the lower one, and what is born above is numbered apart. */
static int make_root(struct super_block *sb, struct ovl_sb *os) {
    struct dentry *upper = os->upper->root, *lower = os->lower->root;
    struct inode *root;
    struct kstat st;
    inode_to_kstat(lower->inode, &st);
    struct iattr attr = {.valid = ATTR_SET_MODE | ATTR_SET_UID | ATTR_SET_GID | ATTR_SET_ATIME |
                                  ATTR_SET_MTIME | ATTR_SET_CTIME,
                         .mode = st.mode & 07777,
                         .uid = st.uid,
                         .gid = st.gid,
                         .atime = st.atime,
                         .mtime = st.mtime,
                         .ctime = st.ctime};
    int err = vfs_setattr(upper, &attr);
    if (err != 0) {
        return err;
    }
    upper->inode->ino = st.ino;
    upper->sb->next_ino = OVL_INO_FIRST;
    dentry_get(upper);
    dentry_get(lower);
    err = ovl_iget(sb, upper, lower, &root);
    return err != 0 ? err : super_set_root(sb, root);
}

static void ovl_destroy(struct super_block *sb) {
    struct ovl_sb *os = ovl_sb_of(sb);
    if (os == NULL) {
        return;
    }
    while (os->buckets != NULL && !list_empty(&os->kept)) {
        struct ovl_inode *oi = list_first(&os->kept, struct ovl_inode, kept_link);
        list_del_init(&oi->kept_link);
        inode_put(oi->inode);
    }
    mount_put(os->upper);
    mount_put(os->lower);
    kfree(os->buckets);
    kfree(os);
}

static int ovl_statfs(struct super_block *sb, struct kstatfs *out) {
    int err = vfs_statfs(ovl_sb_of(sb)->upper->root, out);
    out->type = OVERLAY_SUPER_MAGIC;
    return err;
}

static const struct super_ops g_ovl_super_ops = {
    .statfs = ovl_statfs,
    .evict = ovl_evict,
    .destroy = ovl_destroy,
    .dentry_release = ovl_alias_clear,
};

static struct ovl_sb *ovl_sb_new(void) {
    struct ovl_sb *os = kzalloc(sizeof(*os));
    struct list *buckets = kcalloc(OVL_BUCKETS, sizeof(*buckets));
    if (os == NULL || buckets == NULL) {
        kfree(os);
        kfree(buckets);
        return NULL;
    }
    for (uint32_t i = 0; i < OVL_BUCKETS; i++) {
        list_init(&buckets[i]);
    }
    spin_init(&os->hash_lock, RANK_FS);
    list_init(&os->kept);
    os->buckets = buckets;
    return os;
}

static int ovl_mount(const struct fs_type *type, const char *source, uint32_t flags,
                     const char *data, struct super_block **out_sb) {
    if (!current->is_kthread) {
        return -EPERM; /* layers are exports, which are the host side's to hand out */
    }
    struct super_block *sb = super_alloc(type, &g_ovl_super_ops, OVERLAY_SUPER_MAGIC);
    if (sb == NULL) {
        return -ENOMEM;
    }
    struct ovl_sb *os = ovl_sb_new();
    sb->private = os;
    sb->dcache_stable = true;
    int err = os == NULL ? -ENOMEM : mount_layers(os, data);
    if (err == 0) {
        err = make_root(sb, os);
    }
    if (err != 0) {
        super_put(sb);
        return err;
    }
    *out_sb = sb;
    return 0;
}

const struct fs_type g_overlay_type = {.name = "overlay", .mount = ovl_mount};
