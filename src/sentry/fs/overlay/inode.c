/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes of the overlay: one for each real file, and their attributes. */
#include "base/string.h"
#include "fs/overlay/overlay.h"
#include "kernel/kmalloc.h"
#include "mm/mm.h"

#include <asm/errno.h>
#include <linux/stat.h>

static const struct file_ops g_ovl_no_fops; /* devices, FIFOs, sockets: the VFS serves them */

static int64_t ovl_readlink(struct inode *inode, char *buf, size_t size) {
    const char *text;
    char *own;
    int err = inode_link_text(ovl_real(inode)->inode, &text, &own);
    if (err != 0) {
        return err;
    }
    size_t len = MIN(strlen(text), size);
    memcpy(buf, text, len);
    kfree(own);
    return (int64_t)len;
}

static const struct inode_ops g_ovl_link_iops = {
    .readlink = ovl_readlink,
    .setattr = ovl_setattr,
    .getxattr = ovl_getxattr,
    .setxattr = ovl_setxattr,
    .listxattr = ovl_listxattr,
    .removexattr = ovl_removexattr,
};

static const struct inode_ops g_ovl_special_iops = {
    .setattr = ovl_setattr,
    .getxattr = ovl_getxattr,
    .setxattr = ovl_setxattr,
    .listxattr = ovl_listxattr,
    .removexattr = ovl_removexattr,
};

static void set_ops(struct inode *inode) {
    switch (inode->mode & S_IFMT) {
    case S_IFDIR:
        inode->ops = &g_ovl_dir_iops;
        inode->fops = &g_ovl_dir_fops;
        break;
    case S_IFREG:
        inode->ops = &g_ovl_file_iops;
        inode->fops = &g_ovl_file_fops;
        break;
    case S_IFLNK:
        inode->ops = &g_ovl_link_iops;
        break;
    default:
        break;
    }
}

/* ---- attributes ---- */

static bool is_merged(const struct ovl_inode *oi) {
    return S_ISDIR(oi->inode->mode) && oi->lower != NULL && atomic_load(&oi->upper) != NULL;
}

static bool is_kept(const struct ovl_inode *oi) {
    return !list_empty(&oi->kept_link);
}

static void attr_take(struct inode *inode, struct inode *real) {
    struct kstat st;
    struct ovl_inode *oi = ovl_of(inode);
    inode_to_kstat(real, &st);
    spin_lock(&inode->lock);
    inode->mode = st.mode;
    inode->uid = st.uid;
    inode->gid = st.gid;
    /* Read under our lock, so that of two writers the last to pass here sees the final size. */
    atomic_store_relaxed(&inode->size, atomic_load_relaxed(&real->size));
    inode->blocks = st.blocks;
    inode->rdev = st.rdev;
    inode->atime = st.atime;
    inode->mtime = st.mtime;
    inode->ctime = st.ctime;
    if (is_merged(oi)) {
        inode->nlink = 1; /* nobody counts the subdirectories of two layers */
    } else if (!is_kept(oi)) {
        inode->nlink = st.nlink;
    }
    spin_unlock(&inode->lock);
}

void ovl_attr_pull(struct inode *inode) {
    struct dentry *upper = ovl_upper(inode);
    if (upper != NULL) {
        attr_take(inode, upper->inode);
    }
}

int ovl_setattr(struct dentry *dentry, struct iattr *attr) {
    struct inode *inode = dentry->inode;
    uint64_t old_size = inode->size;
    bool sizes = (attr->valid & ATTR_SET_SIZE) != 0;
    struct iattr real = *attr;
    real.file = NULL; /* it is not the layer's */
    int err = ovl_copy_up(dentry, sizes && attr->size == 0);
    if (err == 0) {
        err = vfs_setattr(ovl_upper(inode), &real);
        ovl_attr_pull(inode);
    }
    if (err == 0 && sizes && attr->size < old_size) {
        uint64_t first = (attr->size + PAGE_MASK) >> PAGE_SHIFT;
        mm_unmap_inode(inode, first, UINT64_MAX - first);
    }
    return err;
}

/* ---- the hash ---- */

static struct list *bucket_of(struct ovl_sb *os, const struct inode *real) {
    uint64_t h = ((uintptr_t)real >> 4) * 0x9e3779b97f4a7c15ull;
    return &os->buckets[(h >> 40) % OVL_BUCKETS];
}

/* Lock: hash_lock, as for the next one.  Referenced or NULL. */
static struct inode *hash_find(struct ovl_sb *os, const struct inode *real) {
    struct ovl_key *k;
    list_for_each_entry (k, bucket_of(os, real), link) {
        if (k->real == real && ref_get_unless_zero(&k->owner->inode->ref)) {
            return k->owner->inode;
        }
    }
    return NULL;
}

static void hash_add(struct ovl_sb *os, struct ovl_key *k, const struct inode *real) {
    if (k->real == NULL) {
        k->real = real;
        list_push_front(bucket_of(os, real), &k->link);
    }
}

static struct inode *find_shared(struct ovl_sb *os, const struct inode *real) {
    spin_lock(&os->hash_lock);
    struct inode *inode = hash_find(os, real);
    spin_unlock(&os->hash_lock);
    return inode;
}

/* The inode must not be forgotten: only it knows how many names of the lower file are left, or
 * where its copy is. */
static void keep(struct ovl_sb *os, struct ovl_inode *oi) {
    if (list_empty(&oi->kept_link)) {
        inode_get(oi->inode);
        list_push_back(&os->kept, &oi->kept_link);
    }
}

void ovl_copied(struct inode *inode, struct dentry *upper) {
    struct ovl_sb *os = ovl_sb_of(inode->sb);
    struct ovl_inode *oi = ovl_of(inode);
    if (!S_ISDIR(inode->mode)) {
        spin_lock(&os->hash_lock);
        hash_add(os, &oi->by_upper, upper->inode);
        if (oi->lower->inode->nlink > 1 && inode->nlink > 0) {
            keep(os, oi);
        }
        spin_unlock(&os->hash_lock);
    }
    atomic_store(&oi->upper, upper);
}

void ovl_name_gone(struct inode *inode) {
    struct ovl_sb *os = ovl_sb_of(inode->sb);
    struct ovl_inode *oi = ovl_of(inode);
    bool last = false;
    if (!is_kept(oi) && ovl_upper(inode) != NULL) {
        ovl_attr_pull(inode);
        return;
    }
    spin_lock(&os->hash_lock);
    spin_lock(&inode->lock);
    inode->nlink -= inode->nlink > 0 ? 1 : 0;
    if (inode->nlink > 0) {
        keep(os, oi);
    } else if (is_kept(oi)) {
        list_del_init(&oi->kept_link);
        last = true;
    }
    spin_unlock(&inode->lock);
    spin_unlock(&os->hash_lock);
    inode_touch(inode, ATTR_SET_CTIME);
    if (last) {
        inode_put(inode); /* the caller has its own */
    }
}

/* ---- life ---- */

static struct ovl_inode *inode_new(struct super_block *sb, struct dentry *upper,
                                   struct dentry *lower) {
    struct inode *real = (upper != NULL ? upper : lower)->inode;
    struct ovl_inode *oi = kzalloc(sizeof(*oi));
    struct inode *inode =
        oi == NULL ? NULL : inode_alloc(sb, real->mode, &g_ovl_special_iops, &g_ovl_no_fops);
    if (inode == NULL) {
        kfree(oi);
        return NULL;
    }
    oi->inode = inode;
    oi->upper = upper;
    oi->lower = lower;
    mutex_init(&oi->copy);
    mutex_init(&oi->names);
    list_init(&oi->by_upper.link);
    list_init(&oi->by_lower.link);
    list_init(&oi->kept_link);
    oi->by_upper.owner = oi->by_lower.owner = oi;
    inode->private = oi;
    inode->ino = real->ino;
    inode->btime = real->btime;
    set_ops(inode);
    attr_take(inode, real);
    return oi;
}

int ovl_iget(struct super_block *sb, struct dentry *upper, struct dentry *lower,
             struct inode **out_inode) {
    struct ovl_sb *os = ovl_sb_of(sb);
    struct inode *real = (upper != NULL ? upper : lower)->inode;
    bool shared = !S_ISDIR(real->mode) && (upper != NULL || real->nlink > 1);
    struct inode *inode = shared ? find_shared(os, real) : NULL;
    if (inode == NULL) {
        struct ovl_inode *oi = inode_new(sb, upper, lower);
        if (oi == NULL) {
            dentry_put(upper);
            dentry_put(lower);
            return -ENOMEM;
        }
        if (shared) {
            spin_lock(&os->hash_lock);
            inode = hash_find(os, real);
            if (inode == NULL) {
                hash_add(os, upper != NULL ? &oi->by_upper : &oi->by_lower, real);
            }
            spin_unlock(&os->hash_lock);
        }
        *out_inode = inode != NULL ? inode : oi->inode;
        if (inode != NULL) {
            inode_put(oi->inode); /* somebody was faster; gives the dentries back */
        }
        return 0;
    }
    dentry_put(upper);
    dentry_put(lower);
    *out_inode = inode;
    return 0;
}

void ovl_evict(struct inode *inode) {
    struct ovl_sb *os = ovl_sb_of(inode->sb);
    struct ovl_inode *oi = ovl_of(inode);
    if (oi == NULL) {
        return;
    }
    spin_lock(&os->hash_lock);
    list_del_init(&oi->by_upper.link);
    list_del_init(&oi->by_lower.link);
    spin_unlock(&os->hash_lock);
    dentry_put(oi->upper);
    dentry_put(oi->lower);
    kfree(oi);
}

void ovl_alias_set(struct inode *inode, struct dentry *dentry) {
    spin_lock(&inode->lock);
    ovl_of(inode)->alias = dentry;
    spin_unlock(&inode->lock);
}

void ovl_alias_clear(struct dentry *dentry) {
    struct inode *inode = dentry->inode;
    if (inode != NULL) {
        spin_lock(&inode->lock);
        if (ovl_of(inode)->alias == dentry) {
            ovl_of(inode)->alias = NULL;
        }
        spin_unlock(&inode->lock);
    }
}
