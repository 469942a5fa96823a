/* SPDX-License-Identifier: Apache-2.0 */
/* Opening host files: see path.h. */
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gofer.h"

#define AGAIN_MAX 16 /* openat2(2): EAGAIN when a rename raced with it */

int path_open_child(int dir_fd, const char *name, int flags, uint32_t mode) {
    struct open_how how = {
        .flags = (uint64_t)(unsigned int)(flags | O_NOFOLLOW | O_CLOEXEC),
        .mode = (flags & O_CREAT) != 0 ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    if ((flags & O_PATH) == 0) {
        how.flags |= O_NOCTTY | O_NONBLOCK;
    }
    for (int i = 0;; i++) {
        long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
        if (fd >= 0) {
            return (int)fd;
        }
        if ((errno != EAGAIN && errno != EINTR) || i == AGAIN_MAX) {
            return -errno;
        }
    }
}

int path_open_dir(int path_fd) {
    return path_open_child(path_fd, ".", O_RDONLY | O_DIRECTORY, 0);
}

int path_check_name(const char *name, size_t len) {
    if (len > GOFER_NAME_MAX) {
        return -ENAMETOOLONG;
    }
    if (len == 0 || memchr(name, '/', len) != NULL || memchr(name, '\0', len) != NULL) {
        return -EINVAL;
    }
    if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))) {
        return -EINVAL;
    }
    return 0;
}
