/* SPDX-License-Identifier: Apache-2.0 */
/* See net.h. */
#include "vm/net.h"

#include "host/cleanup.h"
#include "host/msg.h"
#include "host/netlink.h"
#include "vm/net_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The monitor's own, kept until the machine is gone. */
struct network {
    int netlink; /* in the container's namespace */
    struct net_plan plan;
};

/* The hypervisor's process answers by its start, which closes its end, or says what failed. */
static int hand_over(struct sandbox *s, const int *taps, uint32_t count, struct err *err) {
    const struct net_devices devices = {.count = count};
    struct err theirs = {0};
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    int e = msg_send(s->network_fd, &devices, sizeof(devices), taps, count, false);
    ssize_t n =
        e == 0 ? msg_recv(s->network_fd, &theirs, sizeof(theirs), fds, &fd_count, false) : 0;
    cleanup_fd_fn(&s->network_fd);
    s->network_fd = -1;
    for (size_t i = 0; i < fd_count; i++) {
        cleanup_fd_fn(&fds[i]);
    }
    if (e == 0 && n == 0) {
        return 0;
    }
    theirs.msg[sizeof(theirs.msg) - 1] = '\0';
    return n == sizeof(theirs) && theirs.code < 0
               ? err_set(err, theirs.code, "%s", theirs.msg)
               : err_set(err, -EIO, "the hypervisor died while it was set up");
}

static int send_record(const struct sandbox *s, const struct net_plan *p, struct err *err) {
    cleanup_free void *record = NULL;
    size_t len = 0;
    int e = net_record(p, NET_ID_REQUEST, &record, &len);
    e = e != 0 ? e : msg_send(s->control_fd, record, len, NULL, 0, false);
    return e == 0 ? 0 : err_sys(err, e, "cannot tell the virtual machine about its network");
}

static bool is_empty(const struct net_plan *p) {
    return p->link_count + p->address_count + p->route_count + p->rule_count == 0;
}

static int attach(struct sandbox *s, int log_fd, uint32_t *out_request, struct err *err) {
    int taps[MOAT_NET_LINKS_MAX];
    uint32_t count = 0;
    struct network *n = calloc(1, sizeof(*n));
    *out_request = 0;
    if (n == NULL) {
        return err_sys(err, -ENOMEM, "cannot read the container's network");
    }
    s->network_state = n;
    n->netlink = netlink_open();
    int e = n->netlink >= 0 ? net_scan(n->netlink, &n->plan, err)
                            : err_sys(err, n->netlink, "cannot open a netlink socket");
    if (e == 0 && n->plan.left_out[0] != '\0' && log_fd >= 0) {
        dprintf(log_fd, "vm: not in the machine: %s\n", n->plan.left_out);
    }
    while (e == 0 && count < n->plan.link_count) {
        int fd = net_tap_open(n->netlink, n->plan.index[count], &n->plan.links[count], err);
        e = fd < 0 ? fd : 0;
        if (e == 0) {
            taps[count++] = fd;
        }
    }
    e = e != 0 ? e : hand_over(s, taps, count, err);
    for (uint32_t i = 0; i < count; i++) {
        (void)close(taps[i]); /* the hypervisor has them */
    }
    if (e == 0 && !is_empty(&n->plan)) {
        *out_request = NET_ID_REQUEST;
        e = send_record(s, &n->plan, err);
    }
    return e;
}

static void detach(struct sandbox *s) {
    struct network *n = s->network_state;
    cleanup_fd_fn(&s->network_fd);
    s->network_fd = -1;
    if (n != NULL) {
        for (uint32_t i = 0; i < n->plan.link_count && n->netlink >= 0; i++) {
            net_tap_clear(n->netlink, n->plan.index[i]);
        }
        cleanup_fd_fn(&n->netlink);
        free(n);
        s->network_state = NULL;
    }
}

const struct sandbox_network g_machine_network = {.attach = attach, .detach = detach};

/* ---- after a crash ---- */

/* In a child: its exit status is the error number. */
static int clear_inside(int netns) {
    static struct net_plan plan;
    struct err ignored = {0};
    if (setns(netns, CLONE_NEWNET) != 0) {
        return errno;
    }
    cleanup_fd int fd = netlink_open();
    int e = fd < 0 ? fd : net_scan(fd, &plan, &ignored);
    for (uint32_t i = 0; i < plan.link_count; i++) {
        net_tap_clear(fd, plan.index[i]);
    }
    return e == -E2BIG ? 0 : -e;
}

int net_clear(const char *path, struct err *err) {
    int status = 0;
    cleanup_fd int netns = open(path, O_RDONLY | O_CLOEXEC);
    if (netns < 0) {
        return 0; /* it went, with all in it */
    }
    pid_t pid = fork();
    if (pid == 0) {
        _exit(clear_inside(netns));
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (pid < 0 || !WIFEXITED(status)) {
        return err_sys(err, pid < 0 ? -errno : -EIO, "cannot look into the network namespace %s",
                       path);
    }
    /* The path of a namespace that was unmounted is an ordinary file. */
    return WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == EINVAL
               ? 0
               : err_sys(err, -WEXITSTATUS(status), "cannot clear the network namespace %s", path);
}
