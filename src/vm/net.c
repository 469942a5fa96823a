/* SPDX-License-Identifier: Apache-2.0 */
/* See net.h. */
#include "vm/net.h"

#include "host/child.h"
#include "host/cleanup.h"
#include "host/msg.h"
#include "host/netlink.h"
#include "vm/jail.h"
#include "vm/net_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Devices that a machine has beyond the interfaces of its beginning: engines may join it to
 * networks later (Docker 26 does so after create), and nothing can be plugged into a microvm. */
#define SPARE_DEVICES 2u
/* Ids of the monitor's requests begin at 1,000, and are few. */
#define LATER_IDS 0x80000001u

/* The monitor's own, kept until the machine is gone. */
struct network {
    int netlink; /* in the container's namespace */
    int log_fd;
    uid_t owner;                      /* of the taps: who the machine is */
    uint32_t count;                   /* of devices */
    int tap[MOAT_NET_LINKS_MAX];      /* the index of each one's tap */
    int host[MOAT_NET_LINKS_MAX];     /* and of the interface that it is joined to, or 0 */
    uint32_t mtu[MOAT_NET_LINKS_MAX]; /* of that */
    uint32_t next_id;                 /* of records that nobody waits for */
    void *told;                       /* the last record */
    size_t told_len;
    char left_out[sizeof(((struct net_plan *)0)->left_out)]; /* as said in the log */
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

static bool is_empty(const struct net_plan *p) {
    bool links = false;
    for (uint32_t i = 0; i < p->link_count; i++) {
        links = links || p->links[i].name[0] != '\0';
    }
    return !links && p->address_count + p->route_count + p->rule_count == 0;
}

/* The record of the plan, unless the agent was told the same. */
static int tell(const struct sandbox *s, struct network *n, uint32_t id, bool *out_told) {
    cleanup_free void *record = NULL;
    size_t len = 0;
    *out_told = false;
    if (n->told == NULL && is_empty(&n->plan)) {
        return 0;
    }
    int e = net_record(&n->plan, 0, &record, &len);
    if (e != 0 || (n->told != NULL && n->told_len == len && memcmp(record, n->told, len) == 0)) {
        return e;
    }
    free(n->told);
    n->told = steal_ptr(&record);
    n->told_len = len;
    e = net_record(&n->plan, id, &record, &len);
    *out_told = true;
    return e != 0 ? e : msg_send(s->control_fd, record, len, NULL, 0, false);
}

static void say_left_out(struct network *n) {
    if (n->plan.left_out[0] != '\0' && strcmp(n->left_out, n->plan.left_out) != 0 &&
        n->log_fd >= 0) {
        dprintf(n->log_fd, "vm: not in the machine: %s\n", n->plan.left_out);
    }
    memcpy(n->left_out, n->plan.left_out, sizeof(n->left_out));
}

/* The device of an interface, a free one for a new interface; or -1. */
static int device_of(const struct network *n, int index) {
    int found = -1;
    for (uint32_t i = n->count; i-- > 0;) {
        if (n->host[i] == index) {
            return (int)i;
        }
        found = n->host[i] == 0 ? (int)i : found;
    }
    return found;
}

/* Joins what is new to devices, and numbers the plan by those. */
static int join_all(struct network *n, struct err *err) {
    struct net_plan *p = &n->plan;
    int to[MOAT_NET_LINKS_MAX], e = 0;
    char name[IF_NAMESIZE];
    for (uint32_t i = 0; i < n->count; i++) {
        if (n->host[i] != 0 && if_indextoname((unsigned int)n->host[i], name) == NULL) {
            n->host[i] = 0; /* it has gone elsewhere, with what led to the tap */
        }
    }
    for (uint32_t i = 0; i < p->link_count && e == 0; i++) {
        to[i] = device_of(n, p->index[i]);
        if (to[i] < 0) {
            net_plan_leave_out(p, p->links[i].name, "the machine has no device left for it");
        } else if (n->host[to[i]] == 0) {
            e = net_tap_join(n->netlink, n->tap[to[i]], p->index[i], &p->links[i], err);
            n->host[to[i]] = e == 0 ? p->index[i] : 0;
            n->mtu[to[i]] = p->links[i].mtu;
        } else if (n->mtu[to[i]] != p->links[i].mtu) {
            n->mtu[to[i]] = p->links[i].mtu;
            e = net_tap_mtu(n->netlink, n->tap[to[i]], p->links[i].mtu);
        }
    }
    if (e == 0) {
        net_plan_place(p, to, n->count);
        say_left_out(n);
    }
    return e;
}

/* A socket that is readable when links, addresses or routes change. */
static int open_watch(void) {
    const struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
                                       .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
                                                    RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                                                    RTMGRP_IPV6_ROUTE};
    cleanup_fd int fd = netlink_open();
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&groups, sizeof(groups)) != 0) {
        return -errno;
    }
    return steal_fd(&fd);
}

static int attach_all(struct sandbox *s, struct network *n, int *taps, struct err *err) {
    s->network_watch = open_watch();
    n->netlink = s->network_watch >= 0 ? netlink_open() : s->network_watch;
    int e = n->netlink >= 0 ? net_scan(n->netlink, &n->plan, err)
                            : err_sys(err, n->netlink, "cannot open a netlink socket");
    uint32_t wanted = MIN(n->plan.link_count + SPARE_DEVICES, MOAT_NET_LINKS_MAX);
    while (e == 0 && n->count < wanted) {
        int fd = net_tap_open(n->netlink, n->owner, &n->tap[n->count], err);
        e = fd < 0 ? fd : 0;
        if (e == 0) {
            taps[n->count++] = fd;
        }
    }
    e = e != 0 ? e : join_all(n, err);
    return e != 0 ? e : hand_over(s, taps, n->count, err);
}

static int attach(struct sandbox *s, int log_fd, uint32_t *out_request, struct err *err) {
    int taps[MOAT_NET_LINKS_MAX];
    bool told = false;
    struct network *n = calloc(1, sizeof(*n));
    *out_request = 0;
    if (n == NULL) {
        return err_sys(err, -ENOMEM, "cannot read the container's network");
    }
    *n = (struct network){
        .netlink = -1, .log_fd = log_fd, .owner = jail_user(getpid()), .next_id = LATER_IDS};
    s->network_state = n;
    int e = attach_all(s, n, taps, err);
    for (uint32_t i = 0; i < n->count; i++) {
        (void)close(taps[i]); /* the hypervisor has them */
    }
    if (e != 0) {
        return e;
    }
    e = tell(s, n, NET_ID_REQUEST, &told);
    *out_request = told ? NET_ID_REQUEST : 0;
    return e == 0 ? 0 : err_sys(err, e, "cannot tell the virtual machine about its network");
}

static void refresh(struct sandbox *s) {
    struct network *n = s->network_state;
    struct err err = {0};
    char buf[8192];
    bool told;
    if (n == NULL || n->netlink < 0) {
        return;
    }
    while (recv(s->network_watch, buf, sizeof(buf), MSG_DONTWAIT) >= 0 || errno == ENOBUFS) {
    }
    int e = net_scan(n->netlink, &n->plan, &err);
    e = e != 0 ? e : join_all(n, &err);
    e = e != 0 ? e : tell(s, n, n->next_id, &told);
    n->next_id += 2; /* never 0 */
    if (e != 0 && n->log_fd >= 0) {
        dprintf(n->log_fd, "vm: the network has changed, but not in the machine: %s\n",
                err.code != 0 ? err.msg : strerror(-e));
    }
}

static void detach(struct sandbox *s) {
    struct network *n = s->network_state;
    cleanup_fd_fn(&s->network_fd);
    cleanup_fd_fn(&s->network_watch);
    s->network_fd = s->network_watch = -1;
    if (n != NULL) {
        for (uint32_t i = 0; i < n->count && n->netlink >= 0; i++) {
            if (n->host[i] != 0) {
                net_tap_clear(n->netlink, n->host[i], n->owner);
            }
        }
        cleanup_fd_fn(&n->netlink);
        free(n->told);
        free(n);
        s->network_state = NULL;
    }
}

const struct sandbox_network g_machine_network = {
    .attach = attach, .refresh = refresh, .detach = detach};

/* ---- after a crash ---- */

struct crashed {
    int netns;
    uid_t owner;
};

/* In a child. */
static int clear_inside(void *arg, struct err *err) {
    static struct net_plan plan;
    const struct crashed *c = arg;
    struct err ignored = {0};
    (void)err; /* the caller knows the path */
    if (setns(c->netns, CLONE_NEWNET) != 0) {
        return -errno;
    }
    cleanup_fd int fd = netlink_open();
    int e = fd < 0 ? fd : net_scan(fd, &plan, &ignored);
    for (uint32_t i = 0; i < plan.link_count; i++) {
        net_tap_clear(fd, plan.index[i], c->owner);
    }
    return e == -E2BIG ? 0 : e;
}

int net_clear(const char *path, uid_t owner, struct err *err) {
    cleanup_fd int netns = open(path, O_RDONLY | O_CLOEXEC);
    if (netns < 0) {
        return 0; /* it went, with all in it */
    }
    struct crashed c = {.netns = netns, .owner = owner};
    int e = child_run(clear_inside, &c, err);
    /* The path of a namespace that was unmounted is an ordinary file. */
    return e == 0 || e == -EINVAL ? 0
                                  : err_sys(err, e, "cannot clear the network namespace %s", path);
}
