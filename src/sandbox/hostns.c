/* SPDX-License-Identifier: Apache-2.0 */
/* See hostns.h.  Sources: config-linux.md "Namespaces", namespaces(7), setns(2), unshare(2). */
#include "sandbox/hostns.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static const struct {
    enum oci_namespace kind;
    int flag;
    const char *name;
} g_kinds[] = {
    {NS_NETWORK, CLONE_NEWNET, "network"},
    {NS_UTS, CLONE_NEWUTS, "uts"},
    {NS_IPC, CLONE_NEWIPC, "ipc"},
};

static int join(const char *path, int flag, const char *name, struct err *err) {
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && setns(fd, flag) == 0
               ? 0
               : err_sys(err, -errno, "linux.namespaces: cannot join the %s namespace %s", name,
                         path);
}

static bool g_made; /* new ones */

bool hostns_network(const struct container *c) {
    const struct oci_namespace_entry *n = &c->linux_.namespaces[NS_NETWORK];
    return n->set && (n->path != NULL || g_made);
}

int hostns_enter(const struct container *c, char *hostname, struct err *err) {
    int fresh = 0;
    hostname[0] = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(g_kinds); i++) {
        const struct oci_namespace_entry *n = &c->linux_.namespaces[g_kinds[i].kind];
        fresh |= n->set && n->path == NULL ? g_kinds[i].flag : 0;
        if (n->set && n->path != NULL) {
            int e = join(n->path, g_kinds[i].flag, g_kinds[i].name, err);
            if (e != 0) {
                return e;
            }
            if (g_kinds[i].kind == NS_UTS) {
                (void)gethostname(hostname, HOSTNS_NAME_MAX); /* no name is longer */
            }
        }
    }
    if (unshare(fresh) != 0) {
        return errno == EPERM ? 0 : err_sys(err, -errno, "cannot make the container's namespaces");
    }
    g_made = true;
    if ((fresh & CLONE_NEWUTS) != 0 && c->hostname != NULL) {
        (void)sethostname(c->hostname, strlen(c->hostname)); /* the sandbox has it by itself */
    }
    return 0;
}
