/* SPDX-License-Identifier: Apache-2.0 */
/* Files in memory: see memfd.h. */
#include "host/memfd.h"

#include "host/cleanup.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int memfd_make(const char *name, const void *data, size_t size) {
    cleanup_fd int fd = memfd_create(name, MFD_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, data, size);
    if (n < 0 || lseek(fd, 0, SEEK_SET) != 0) {
        return -errno;
    }
    return (size_t)n == size ? steal_fd(&fd) : -EIO;
}
