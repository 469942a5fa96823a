/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Sentry's VFS with tmpfs, fuse and overlay as an ordinary library of one thread, over a real
 * Gofer: the sys_* functions with kernel pointers for user addresses.  All return what the system
 * call returns (-errno).
 *
 * This header is for programs with libc; kfs.c, which sees the kernel's headers, does without.
 */
#ifndef MOAT_TESTS_KFS_H
#define MOAT_TESTS_KFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moat_boot;

/* Gets the kernel going; root is export 0: overlaid, or plain fuse with these options behind
 * "chan=0,export=0". */
void kfs_boot_overlay(void);
void kfs_boot_fuse(const char *options);
/* Mounts fuse with these options on a directory of the root. */
long kfs_mount_fuse(const char *options, const char *target);

struct kfs_stat {
    uint64_t ino, size, dev, rdev;
    uint32_t mode, nlink, uid, gid;
    int64_t mtime, ctime;
    uint32_t mtime_nsec;
};

long kfs_open(const char *path, int flags, unsigned int mode);
long kfs_close(long fd);
long kfs_read(long fd, void *buf, size_t len, int64_t off); /* off < 0: at the position */
long kfs_write(long fd, const void *buf, size_t len, int64_t off);
long kfs_lseek(long fd, int64_t off, int whence);
long kfs_getdents(long fd, void *buf, size_t len);
long kfs_mkdir(const char *path, unsigned int mode);
long kfs_unlink(const char *path, bool dir);
long kfs_symlink(const char *target, const char *path);
long kfs_link(const char *old, const char *path);
long kfs_rename(const char *old, const char *path, unsigned int flags);
long kfs_chmod(const char *path, unsigned int mode);
long kfs_chown(const char *path, unsigned int uid, unsigned int gid);
long kfs_ftruncate(long fd, int64_t size);
long kfs_truncate(const char *path, int64_t size);
long kfs_utimens(const char *path, int64_t atime, int64_t mtime);
long kfs_readlink(const char *path, char *buf, size_t size);
long kfs_mknod(const char *path, unsigned int mode, uint64_t dev);
long kfs_stat(const char *path, bool follow, struct kfs_stat *out);
long kfs_fstat(long fd, struct kfs_stat *out);
long kfs_setxattr(const char *path, const char *name, const void *value, size_t size);
long kfs_getxattr(const char *path, const char *name, void *value, size_t size);
long kfs_listxattr(const char *path, char *list, size_t size);
/* Byte at `off` as a mapping of the file would show it: 0..255 or -errno. */
long kfs_mapped_byte(long fd, uint64_t off, bool write);
/* Throws unused dentries out of the cache, one in `one_in`, as memory pressure would. */
void kfs_shrink(unsigned int one_in);
/* Ends the root file system (and everything cached). */
void kfs_end(void);
/* Heap blocks in use, sleeping locks held. */
int64_t kfs_heap_blocks(void);
unsigned int kfs_locks_held(void);
/* Messages sent to the Gofer so far. */
uint64_t kfs_messages(void);
void kfs_become(unsigned int uid, unsigned int gid, uint64_t capabilities);

#endif
