/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a root image: see disk.h.  Sources: the kernel's Documentation/filesystems/erofs.rst and
 * ext4/super.rst (the superblock lies 1,024 bytes into either). */
#include "vm/disk.h"

#include "host/cleanup.h"
#include "host/path.h"
#include "moat/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUPERBLOCK  1024
#define EROFS_MAGIC 0xe0f5e1e2u /* at its beginning */
#define EXT4_MAGIC  0xef53u     /* 0x38 bytes into it */
#define EXT4_OFFSET 0x38u
#define SECTOR      512

/* Nothing but a regular file is ever opened for reading: opening a device or FIFO may act. */
static int open_regular(const struct container *c, struct stat *st, struct err *err) {
    char self[PATH_OF_FD_SIZE];
    cleanup_fd int base = open(c->root_image_base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_fd int found = base < 0 ? -errno : path_open_in_root(base, c->root_image, O_PATH);
    if (found < 0 || fstat(found, st) != 0) {
        return err_sys(err, found < 0 ? found : -errno, "cannot open the root image %s",
                       c->root_image);
    }
    if (!S_ISREG(st->st_mode)) {
        return err_set(err, -EINVAL, "the root image %s is not a regular file", c->root_image);
    }
    int fd = open(path_of_fd(found, self), O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : err_sys(err, -errno, "cannot read the root image %s", c->root_image);
}

static uint32_t kind_of(const uint8_t *super) {
    uint32_t erofs;
    uint16_t ext4;
    memcpy(&erofs, super, sizeof(erofs)); /* little endian, as this machine */
    memcpy(&ext4, super + EXT4_OFFSET, sizeof(ext4));
    return erofs == EROFS_MAGIC ? MOAT_AGENT_DISK_EROFS
           : ext4 == EXT4_MAGIC ? MOAT_AGENT_DISK_EXT4
                                : MOAT_AGENT_DISK_NONE;
}

int disk_open(const struct container *c, struct disk *out, struct err *err) {
    uint8_t super[EXT4_OFFSET + 2];
    struct stat st;
    *out = (struct disk){.fd = -1};
    if (c->root_image == NULL) {
        return 0;
    }
    cleanup_fd int fd = open_regular(c, &st, err);
    if (fd < 0) {
        return fd;
    }
    ssize_t n = pread(fd, super, sizeof(super), SUPERBLOCK);
    if (n < 0) {
        return err_sys(err, -errno, "cannot read the root image %s", c->root_image);
    }
    out->kind = n == (ssize_t)sizeof(super) ? kind_of(super) : MOAT_AGENT_DISK_NONE;
    if (out->kind == MOAT_AGENT_DISK_NONE || st.st_size % SECTOR != 0) {
        return err_set(err, -EINVAL,
                       "the root image %s holds neither an erofs nor an ext4 file system "
                       "(mkfs.erofs IMAGE FOLDER makes one)",
                       c->root_image);
    }
    out->fd = steal_fd(&fd);
    return 0;
}
