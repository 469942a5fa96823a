/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nameless files in memory: memfd_create(2) and file seals (fcntl(2), "File Sealing").
 */
#include "base/fmt.h"
#include "base/string.h"
#include "fs/tmpfs.h"
#include "kernel/kmalloc.h"

#include <linux/memfd.h>

#define MEMFD_NAME_MAX 249u
#define SEALS_KNOWN    (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)
#define LARGEFILE      0100000u

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC        16u
#endif

static int memory_file(const char *label, uint32_t mode, uint32_t seals, struct file **out_file) {
    int err = 0;
    struct inode *inode = tmpfs_inode_new(tmpfs_kernel_super(), NULL, S_IFREG | mode, 0, &err);
    if (inode == NULL) {
        return err;
    }
    inode->nlink = 0;
    tmpfs_of(inode)->seals = seals;
    err = file_from_inode(inode, label, &g_tmpfs_file_ops, O_RDWR | LARGEFILE, out_file);
    inode_put(inode); /* the file has its own */
    return err;
}

int64_t sys_memfd_create(struct task *t, const struct sysargs *args) {
    uint32_t flags = (uint32_t)args->a[1];
    char name[MEMFD_NAME_MAX + 1], label[MEMFD_NAME_MAX + 24];
    struct file *f;
    if ((flags & ~(uint32_t)(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)) != 0 ||
        (flags & (MFD_NOEXEC_SEAL | MFD_EXEC)) == (MFD_NOEXEC_SEAL | MFD_EXEC)) {
        return -EINVAL;
    }
    int64_t len = copyin_str(name, uaddr_of(args->a[0]), sizeof(name));
    if (len < 0) {
        return len == -ENAMETOOLONG ? -EINVAL : len;
    }
    (void)fmt_snprintf(label, sizeof(label), "/memfd:%s (deleted)", name); /* fits */
    bool sealing = (flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL)) != 0;
    uint32_t mode = (flags & MFD_NOEXEC_SEAL) != 0 ? 0666 : 0777;
    int64_t r = memory_file(label, mode, sealing ? 0 : F_SEAL_SEAL, &f);
    if (r != 0) {
        return r;
    }
    return fd_give(f, (flags & MFD_CLOEXEC) != 0);
}

/* ---- seals ---- */

int64_t shmem_get_seals(struct file *f) {
    if (f->inode->fops != &g_tmpfs_file_ops) {
        return -EINVAL;
    }
    return atomic_load(&tmpfs_of(f->inode)->seals);
}

static bool mapped_writable(struct inode *inode) {
    bool found = false;
    struct vma *v;
    spin_lock(&inode->map_list_lock);
    list_for_each_entry (v, &inode->mappings, inode_link) {
        found |= (v->flags & (VMA_SHARED | VMA_MAY_WRITE)) == (VMA_SHARED | VMA_MAY_WRITE);
    }
    spin_unlock(&inode->map_list_lock);
    return found;
}

int64_t shmem_add_seals(struct file *f, uint32_t seals) {
    struct inode *inode = f->inode;
    if (inode->fops != &g_tmpfs_file_ops || (seals & ~(uint32_t)SEALS_KNOWN) != 0) {
        return -EINVAL;
    }
    if ((f->mode & FMODE_WRITE) == 0) {
        return -EPERM;
    }
    struct tmpfs_inode *ti = tmpfs_of(inode);
    int64_t r = 0;
    rw_write_lock(&inode->rw);
    if ((ti->seals & F_SEAL_SEAL) != 0) {
        r = -EPERM;
    } else if ((seals & F_SEAL_WRITE) != 0 && (ti->seals & F_SEAL_WRITE) == 0 &&
               mapped_writable(inode)) {
        r = -EBUSY;
    } else {
        atomic_store(&ti->seals, ti->seals | seals);
    }
    rw_write_unlock(&inode->rw);
    return r;
}
