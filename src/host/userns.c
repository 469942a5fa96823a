/* SPDX-License-Identifier: Apache-2.0 */
/* User namespaces: see userns.h. */
#include "host/userns.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool userns_is_first(void) {
    char text[128];
    cleanup_fd int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    if (n <= 0) {
        return true; /* a kernel without them */
    }
    text[n] = '\0';
    char *at = text;
    unsigned long inside = strtoul(at, &at, 10);
    unsigned long outside = strtoul(at, &at, 10);
    return inside == 0 && outside == 0 && strtoul(at, NULL, 10) == UINT32_MAX;
}

static int write_text(const char *path, const char *text) {
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) >= 0 ? 0 : -errno;
}

int userns_enter_alone(int others, uid_t uid, gid_t gid) {
    char uids[48], gids[48];
    (void)snprintf(uids, sizeof(uids), "%u %u 1", uid, geteuid()); /* fits */
    (void)snprintf(gids, sizeof(gids), "%u %u 1", gid, getegid()); /* fits */
    int e = unshare(CLONE_NEWUSER | others) == 0 ? 0 : -errno;
    /* A group can be mapped only when setgroups(2) is given up. */
    e = e != 0 ? e : write_text("/proc/self/setgroups", "deny");
    e = e != 0 ? e : write_text("/proc/self/gid_map", gids);
    return e != 0 ? e : write_text("/proc/self/uid_map", uids);
}
