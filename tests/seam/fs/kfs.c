/* SPDX-License-Identifier: Apache-2.0 */
/* Calls into the kernel: see kfs.h. */
#include "tests/seam/fs/kfs.h"

#include "base/list.h"
#include "base/string.h"
#include "fs/internal.h"
#include "fs/vfs.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"
#include "tests/seam/fs/fakes.h"

#include <asm/stat.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/time_types.h>

static struct mount *g_root;

static void boot_root(const struct fs_type *type, const char *data) {
    struct super_block *sb = NULL;
    fakes_init();
    vfs_init();
    fs_register(&g_fuse_type);
    fs_register(&g_overlay_type);
    current->is_kthread = true;
    FAKE_CHECK(type->mount(type, "root", 0, data, &sb) == 0);
    FAKE_CHECK(mount_attach(sb, NULL, 0, "root", &g_root) == 0);
    current->is_kthread = false;
    struct path at = {g_root, g_root->root};
    current->fs = fs_context_create(&at);
    current->fs->umask = 0;
    current->files = files_create();
    FAKE_CHECK(current->fs != NULL && current->files != NULL);
}

void kfs_boot_overlay(void) {
    boot_root(&g_overlay_type, "lower_chan=0,lower_export=0");
}

void kfs_boot_fuse(const char *options) {
    char data[128];
    (void)strlcpy(data, "chan=0,export=0", sizeof(data));
    (void)strlcpy(data + strlen(data), options, sizeof(data) - strlen(data));
    boot_root(&g_fuse_type, data);
}

long kfs_mount_fuse(const char *options, const char *target) {
    current->is_kthread = true;
    long err = kmount("fuse", "volume", target, 0, options);
    current->is_kthread = false;
    return err;
}

/* ---- calls ---- */

#define CALL(name, ...) ((long)sys_##name(current, &(struct sysargs){{__VA_ARGS__}}))
#define P(p)            ((uint64_t)(uintptr_t)(p))
#define CWD             ((uint64_t)(int64_t)AT_FDCWD_MOAT)

long kfs_open(const char *path, int flags, unsigned int mode) {
    return CALL(openat, CWD, P(path), (uint64_t)(unsigned int)flags, mode);
}

long kfs_close(long fd) {
    return CALL(close, (uint64_t)fd);
}

long kfs_read(long fd, void *buf, size_t len, int64_t off) {
    return off < 0 ? CALL(read, (uint64_t)fd, P(buf), len)
                   : CALL(pread64, (uint64_t)fd, P(buf), len, (uint64_t)off);
}

long kfs_write(long fd, const void *buf, size_t len, int64_t off) {
    return off < 0 ? CALL(write, (uint64_t)fd, P(buf), len)
                   : CALL(pwrite64, (uint64_t)fd, P(buf), len, (uint64_t)off);
}

long kfs_lseek(long fd, int64_t off, int whence) {
    return CALL(lseek, (uint64_t)fd, (uint64_t)off, (uint64_t)whence);
}

long kfs_getdents(long fd, void *buf, size_t len) {
    return CALL(getdents64, (uint64_t)fd, P(buf), len);
}

long kfs_mkdir(const char *path, unsigned int mode) {
    return CALL(mkdirat, CWD, P(path), mode);
}

long kfs_unlink(const char *path, bool dir) {
    return CALL(unlinkat, CWD, P(path), dir ? 0x200 /* AT_REMOVEDIR */ : 0);
}

long kfs_symlink(const char *target, const char *path) {
    return CALL(symlinkat, P(target), CWD, P(path));
}

long kfs_link(const char *old, const char *path) {
    return CALL(linkat, CWD, P(old), CWD, P(path), 0);
}

long kfs_rename(const char *old, const char *path, unsigned int flags) {
    return CALL(renameat2, CWD, P(old), CWD, P(path), flags);
}

long kfs_chmod(const char *path, unsigned int mode) {
    return CALL(fchmodat, CWD, P(path), mode);
}

long kfs_chown(const char *path, unsigned int uid, unsigned int gid) {
    return CALL(fchownat, CWD, P(path), uid, gid, 0x100 /* AT_SYMLINK_NOFOLLOW */);
}

long kfs_ftruncate(long fd, int64_t size) {
    return CALL(ftruncate, (uint64_t)fd, (uint64_t)size);
}

long kfs_truncate(const char *path, int64_t size) {
    return CALL(truncate, P(path), (uint64_t)size);
}

long kfs_utimens(const char *path, int64_t atime, int64_t mtime) {
    struct __kernel_timespec times[2] = {{atime, 0}, {mtime, 0}};
    return CALL(utimensat, CWD, P(path), P(times), 0x100);
}

long kfs_readlink(const char *path, char *buf, size_t size) {
    return CALL(readlinkat, CWD, P(path), P(buf), size);
}

long kfs_mknod(const char *path, unsigned int mode, uint64_t dev) {
    return CALL(mknodat, CWD, P(path), mode, dev);
}

static void stat_out(const struct stat *st, struct kfs_stat *out) {
    *out = (struct kfs_stat){.ino = st->st_ino,
                             .size = (uint64_t)st->st_size,
                             .dev = st->st_dev,
                             .rdev = st->st_rdev,
                             .mode = st->st_mode,
                             .nlink = (uint32_t)st->st_nlink,
                             .uid = st->st_uid,
                             .gid = st->st_gid,
                             .mtime = (int64_t)st->st_mtime,
                             .ctime = (int64_t)st->st_ctime,
                             .mtime_nsec = (uint32_t)st->st_mtime_nsec};
}

long kfs_stat(const char *path, bool follow, struct kfs_stat *out) {
    struct stat st;
    long err = CALL(newfstatat, CWD, P(path), P(&st), follow ? 0 : 0x100);
    if (err == 0) {
        stat_out(&st, out);
    }
    return err;
}

long kfs_fstat(long fd, struct kfs_stat *out) {
    struct stat st;
    long err = CALL(fstat, (uint64_t)fd, P(&st));
    if (err == 0) {
        stat_out(&st, out);
    }
    return err;
}

long kfs_setxattr(const char *path, const char *name, const void *value, size_t size) {
    return CALL(lsetxattr, P(path), P(name), P(value), size, 0);
}

long kfs_getxattr(const char *path, const char *name, void *value, size_t size) {
    return CALL(lgetxattr, P(path), P(name), P(value), size);
}

long kfs_listxattr(const char *path, char *list, size_t size) {
    return CALL(llistxattr, P(path), P(list), size);
}

long kfs_mapped_byte(long fd, uint64_t off, bool write) {
    uint64_t pfn, count;
    struct file *f = fd_get((int)fd, false);
    if (f == NULL) {
        return -EBADF;
    }
    long r = f->ops->map_pages(f, off >> PAGE_SHIFT, 1, write, &pfn, &count);
    if (r == 0) {
        unsigned char *at = (unsigned char *)frame_ptr(pfn) + (off & PAGE_MASK);
        r = *at;
        if (write) {
            *at = (unsigned char)(*at + 1);
        }
        frame_put(pfn);
    }
    file_put(f);
    return r;
}

/* ---- the cache ---- */

/* A random unused dentry below `d`, referenced, or NULL. */
static struct dentry *pick_below(struct dentry *d, unsigned int one_in) {
    struct dentry *child;
    list_for_each_entry (child, &d->children, child_link) {
        struct dentry *found = pick_below(child, one_in);
        if (found != NULL) {
            return found;
        }
        bool unused =
            (child->flags & (DENTRY_PINNED | DENTRY_HASHED)) == DENTRY_HASHED && child->ref.n == 1;
        if (unused && fakes_random() % one_in == 0) {
            dentry_get(child);
            return child;
        }
    }
    return NULL;
}

static void shrink_super(struct super_block *sb, unsigned int one_in) {
    for (int i = 0; i < 8; i++) {
        struct dentry *d = pick_below(sb->root, one_in);
        if (d == NULL) {
            break;
        }
        dentry_drop(d);
        dentry_put(d);
    }
}

void kfs_shrink(unsigned int one_in) {
    shrink_super(g_root->sb, one_in);
}

void kfs_end(void) {
    files_put(current->files);
    fs_context_put(current->fs);
    current->files = NULL;
    current->fs = NULL;
    mount_put(g_root); /* the namespace's reference stays: its last mount cannot go */
}

void kfs_become(unsigned int uid, unsigned int gid, uint64_t capabilities) {
    fakes_cred_set(uid, gid, capabilities);
}
