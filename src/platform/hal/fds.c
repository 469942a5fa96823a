/* SPDX-License-Identifier: Apache-2.0 */
/* Which descriptors are donated files, and of what kind, so that a confused kernel cannot name one
 * of the Sentry's own. */
#include "platform/hal/host.h"

#include <errno.h>
#include <sys/stat.h>

static uint8_t g_kinds[HOST_FD_MAX]; /* enum host_fd_kind; atomic */

must_check int host_fd_donate(int fd) {
    struct stat st;
    if (fd < 0 || fd >= HOST_FD_MAX || host_fstat(fd, &st) != 0) {
        return -EMFILE;
    }
    enum host_fd_kind kind = S_ISSOCK(st.st_mode)  ? HOST_FD_SOCKET
                             : S_ISREG(st.st_mode) ? HOST_FD_FILE
                                                   : HOST_FD_STREAM;
    atomic_store(&g_kinds[fd], (uint8_t)kind);
    return fd;
}

enum host_fd_kind host_fd_kind(int hfd) {
    return hfd >= 0 && hfd < HOST_FD_MAX ? (enum host_fd_kind)atomic_load(&g_kinds[hfd])
                                         : HOST_FD_NONE;
}

void host_fd_forget(int hfd) {
    if (hfd >= 0 && hfd < HOST_FD_MAX) {
        atomic_store(&g_kinds[hfd], (uint8_t)HOST_FD_NONE);
    }
}
