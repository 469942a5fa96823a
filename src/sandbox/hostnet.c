/* SPDX-License-Identifier: Apache-2.0 */
/* See hostnet.h.  Sources: config-linux.md "Namespaces", network_namespaces(7), setns(2). */
#include "sandbox/hostnet.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

static int join(const char *path, struct err *err) {
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_sys(err, -errno, "linux.namespaces: cannot open the network namespace %s", path);
    }
    return setns(fd, CLONE_NEWNET) == 0
               ? 0
               : err_sys(err, -errno, "linux.namespaces: cannot join the network namespace %s",
                         path);
}

int hostnet_enter(const struct container *c, struct err *err) {
    const struct oci_namespace_entry *net = &c->linux_.namespaces[NS_NETWORK];
    if (!net->set) {
        return 0;
    }
    if (net->path != NULL) {
        return join(net->path, err);
    }
    if (unshare(CLONE_NEWNET) != 0 && errno != EPERM) {
        return err_sys(err, -errno, "cannot make the container's network namespace");
    }
    return 0;
}
