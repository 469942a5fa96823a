/* SPDX-License-Identifier: Apache-2.0 */
/* Donated host files: positional I/O on regular files, attributes, close. */
#include "platform/hal/host.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SEGS_MAX 64u

_Static_assert(sizeof(struct hal_seg) == sizeof(struct iovec) &&
                   offsetof(struct hal_seg, len) == offsetof(struct iovec, iov_len),
               "hal_seg is an iovec");

static int64_t positional(long nr, int hfd, const struct hal_seg *segs, size_t count,
                          uint64_t off) {
    if (!host_fd_ok(hfd)) {
        return -EBADF;
    }
    return sys6(nr, hfd, (long)segs, (long)MIN(count, (size_t)SEGS_MAX), (long)off, 0, 0);
}

int64_t hal_file_pread(int hfd, const struct hal_seg *segs, size_t count, uint64_t off) {
    return positional(SYS_preadv, hfd, segs, count, off);
}

int64_t hal_file_pwrite(int hfd, const struct hal_seg *segs, size_t count, uint64_t off) {
    return positional(SYS_pwritev, hfd, segs, count, off);
}

must_check int hal_file_truncate(int hfd, uint64_t size) {
    return host_fd_ok(hfd) ? (int)sys2(SYS_ftruncate, hfd, (long)size) : -EBADF;
}

must_check int hal_file_allocate(int hfd, uint32_t mode, uint64_t off, uint64_t len) {
    return host_fd_ok(hfd) ? (int)sys4(SYS_fallocate, hfd, mode, (long)off, (long)len) : -EBADF;
}

must_check int hal_file_sync(int hfd, bool data_only) {
    return host_fd_ok(hfd) ? (int)sys1(data_only ? SYS_fdatasync : SYS_fsync, hfd) : -EBADF;
}

must_check int hal_file_stat(int hfd, struct hal_stat *out_stat) {
    struct stat st;
    if (!host_fd_ok(hfd)) {
        return -EBADF;
    }
    int err = host_fstat(hfd, &st);
    if (err != 0) {
        return err;
    }
    *out_stat = (struct hal_stat){.mode = st.st_mode,
                                  .size = (uint64_t)st.st_size,
                                  .rdev = st.st_rdev,
                                  .dev = st.st_dev,
                                  .ino = st.st_ino};
    return 0;
}

void hal_file_close(int hfd) {
    if (host_fd_ok(hfd)) {
        host_reactor_forget(hfd);
        host_fd_forget(hfd);
        (void)sys1(SYS_close, hfd); /* the descriptor is gone whatever it answers */
    }
}
