/* SPDX-License-Identifier: Apache-2.0 */
/* User namespaces for ordinary users' machines: see rootless.h. */
#include "vm/rootless.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_text(const char *path, const char *text) {
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) >= 0 ? 0 : -errno;
}

int rootless_enter(struct err *err) {
    char uids[48], gids[48];
    if (geteuid() == 0) {
        return 0;
    }
    (void)snprintf(uids, sizeof(uids), "0 %u 1", geteuid()); /* fits */
    (void)snprintf(gids, sizeof(gids), "0 %u 1", getegid()); /* fits */
    int e = unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 ? 0 : -errno;
    /* user_namespaces(7): a group can be mapped only when setgroups(2) is given up. */
    e = e != 0 ? e : write_text("/proc/self/setgroups", "deny");
    e = e != 0 ? e : write_text("/proc/self/gid_map", gids);
    e = e != 0 ? e : write_text("/proc/self/uid_map", uids);
    return e == 0 ? 0
                  : err_sys(err, e,
                            "isolation vm needs a user namespace when it is not root's, and cannot "
                            "make one ('moat check' says what the host lacks)");
}

bool rootless_inside(void) {
    unsigned int inside = 0, outside = 0, count = UINT32_MAX;
    FILE *map = fopen("/proc/self/uid_map", "re");
    int n = map != NULL ? fscanf(map, "%u %u %u", &inside, &outside, &count) : 0;
    if (map != NULL) {
        (void)fclose(map); /* only read */
    }
    return n == 3 && !(inside == 0 && outside == 0 && count == UINT32_MAX);
}
