/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials across execve: set-user-ID and set-group-ID bits, file capabilities, ambient
 * capabilities (execve(2), capabilities(7): "Transformation of capabilities during execve()").
 */
#include "loader/loader.h"

#include "base/string.h"
#include "kernel/process.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <linux/stat.h>
#include <linux/xattr.h>

struct file_caps {
    uint64_t permitted, inheritable;
    bool effective;
    bool present;
};

static uint32_t le32(const unsigned char *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* struct vfs_ns_cap_data of linux/capability.h, little endian; anything else counts as no
 * capabilities. */
static void read_file_caps(struct inode *inode, struct file_caps *out) {
    unsigned char raw[XATTR_CAPS_SZ_3];

    memset(out, 0, sizeof(*out));
    if (inode->ops->getxattr == NULL) {
        return;
    }
    int64_t len = inode->ops->getxattr(inode, XATTR_NAME_CAPS, raw, sizeof(raw));
    if (len < (int64_t)XATTR_CAPS_SZ_2) {
        return;
    }
    uint32_t magic = le32(raw);
    uint32_t revision = magic & VFS_CAP_REVISION_MASK;
    if (revision != VFS_CAP_REVISION_2 &&
        !(revision == VFS_CAP_REVISION_3 && len == (int64_t)XATTR_CAPS_SZ_3 &&
          le32(raw + 20) == 0)) {
        return;
    }
    out->present = true;
    out->effective = (magic & VFS_CAP_FLAGS_EFFECTIVE) != 0;
    out->permitted = (le32(raw + 4) | (uint64_t)le32(raw + 12) << 32) & CAP_FULL_SET;
    out->inheritable = (le32(raw + 8) | (uint64_t)le32(raw + 16) << 32) & CAP_FULL_SET;
}

static void apply_set_id(struct cred *c, struct inode *inode) {
    spin_lock(&inode->lock);
    uint32_t mode = inode->mode;
    uint32_t uid = inode->uid;
    uint32_t gid = inode->gid;
    spin_unlock(&inode->lock);
    if ((mode & S_ISUID) != 0) {
        c->euid = uid;
    }
    /* Without group execute the bit means mandatory locking, not set-group-ID. */
    if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) {
        c->egid = gid;
    }
}

static int transform_caps(struct cred *c, const struct cred *old, struct file_caps *fc) {
    uint64_t inheritable = old->cap_inheritable;
    uint64_t bounding = old->cap_bounding;
    bool id_changed = c->euid != old->euid || c->egid != old->egid;
    bool privileged = fc->present || id_changed;

    if ((c->securebits & SECBIT_NOROOT) == 0 && !(fc->present && c->uid != 0 && c->euid == 0)) {
        if (c->uid == 0 || c->euid == 0) {
            fc->permitted = CAP_FULL_SET;
            fc->inheritable = CAP_FULL_SET;
        }
        if (c->euid == 0) {
            fc->effective = true;
        }
    }
    c->cap_ambient = privileged ? 0 : old->cap_ambient;
    c->cap_permitted = (inheritable & fc->inheritable) | (fc->permitted & bounding);
    /* A file that insists on capabilities it cannot have is not run without them. */
    if (fc->present && fc->effective && (fc->permitted & ~c->cap_permitted) != 0 && c->uid != 0 &&
        c->euid != 0) {
        return -EPERM;
    }
    c->cap_permitted |= c->cap_ambient;
    c->cap_effective = fc->effective ? c->cap_permitted : c->cap_ambient;
    return 0;
}

int exec_cred_prepare(struct exec_image *img) {
    struct task *t = img->task;
    const struct cred *old = t->cred;
    struct inode *inode = img->file->inode;
    bool may_gain = (img->file->path.mount->flags & MS_NOSUID) == 0 && !t->no_new_privs;
    struct file_caps fc = {0};
    struct cred *c = cred_copy(old);

    if (c == NULL) {
        return -ENOMEM;
    }
    if (may_gain) {
        apply_set_id(c, inode);
        read_file_caps(inode, &fc);
    }
    int err = transform_caps(c, old, &fc);
    if (err != 0) {
        cred_put(c);
        return err;
    }
    c->suid = c->fsuid = c->euid;
    c->sgid = c->fsgid = c->egid;
    c->securebits &= ~(uint32_t)SECBIT_KEEP_CAPS;
    img->secure = c->euid != old->euid || c->egid != old->egid ||
                  (c->uid != 0 && (fc.effective || (c->cap_permitted & ~c->cap_ambient) != 0));
    img->unreadable = inode_permission(inode, MAY_READ) != 0;
    img->cred = c;
    return 0;
}
