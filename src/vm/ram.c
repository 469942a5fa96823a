/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of machines in files: see ram.h. */
#include "vm/ram.h"

#include "host/cleanup.h"
#include "host/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE  4096
#define PIECE (16 * PAGE) /* of fewer and longer pieces a copy is made faster */
#define CHUNK (16 * PIECE)

int ram_open(uint64_t size, uid_t owner, struct ram *out, struct err *err) {
    char options[64];
    *out = (struct ram){-1, -1};
    (void)snprintf(options, sizeof(options), "mode=755,size=%lluk",
                   (unsigned long long)(size / 1024 + 64)); /* fits */
    int e = mount_fs_open("tmpfs", "memory", options, NULL,
                          MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
    if (e < 0) {
        return e == -ENOSYS ? err_sys(err, e, "a template needs Linux 5.2 or newer") : e;
    }
    out->mount = e;
    out->file = openat(out->mount, RAM_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (out->file < 0 || ftruncate(out->file, (off_t)size) != 0 ||
        fchown(out->file, owner, owner) != 0) {
        e = err_sys(err, -errno, "cannot make the machine's memory");
        ram_close(out);
        return e;
    }
    return 0;
}

int ram_fill(const struct ram *to, int from, struct err *err) {
    off_t at = 0;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(from, at, SEEK_HOLE);
        if (end < 0 || lseek(to->file, at, SEEK_SET) != at) {
            break;
        }
        while (at < end) {
            ssize_t n = sendfile(to->file, from, &at, (size_t)(end - at));
            if (n <= 0) {
                return err_sys(err, n == 0 ? -EIO : -errno, "cannot fill the machine's memory");
            }
        }
    }
    return errno == ENXIO ? 0 : err_sys(err, -errno, "cannot read the template's memory");
}

/* Piece by piece, as a guest's memory has zeros in every large one. */
static int save_chunk(int to, const char *data, size_t size, off_t at, struct err *err) {
    static const char zeros[PIECE];
    for (size_t i = 0; i < size; i += PIECE) {
        size_t len = MIN((size_t)PIECE, size - i);
        if (memcmp(data + i, zeros, len) != 0 &&
            pwrite(to, data + i, len, at + (off_t)i) != (ssize_t)len) {
            return err_sys(err, errno != 0 ? -errno : -ENOSPC, "cannot write the template");
        }
    }
    return 0;
}

int ram_save(const struct ram *from, int to, struct err *err) {
    static char data[CHUNK];
    struct stat st;
    off_t at = 0;
    if (fstat(from->file, &st) != 0 || ftruncate(to, st.st_size) != 0) {
        return err_sys(err, -errno, "cannot size the template");
    }
    while ((at = lseek(from->file, at, SEEK_DATA)) >= 0) {
        ssize_t n = pread(from->file, data, sizeof(data), at);
        if (n <= 0) {
            return err_sys(err, n == 0 ? -EIO : -errno, "cannot read the machine's memory");
        }
        int e = save_chunk(to, data, (size_t)n, at, err);
        if (e != 0) {
            return e;
        }
        at += n;
    }
    return errno == ENXIO ? 0 : err_sys(err, -errno, "cannot read the machine's memory");
}

void ram_close(struct ram *r) {
    cleanup_fd_fn(&r->file);
    cleanup_fd_fn(&r->mount);
    *r = (struct ram){-1, -1};
}
