/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits and statistics of a container in the Sentry: see sentry.h.
 *
 * pids.limit counts the container's own threads, and the application kernel keeps to it.  On the
 * host the sandbox has more of them: a thread of a stub for each thread inside, two of them while
 * one executes another program, and its helpers.  The host's limit is the wall for a Sentry that
 * was taken over, so it leaves room for all of these.
 */
#include "sandbox/sentry.h"

#include "host/cleanup.h"
#include "oci/ctlmsg.h"
#include "sandbox/client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/time.h>

#define HELPERS      32 /* monitors of the container and its execs, Gofer, Sentry's own threads */
#define HELPERS_CPU  4  /* threads of a virtual CPU, and its zygote */
#define STATS_WAIT_S 10 /* an emulated machine may be busy */
#define STATS_MAX    512

void sentry_host_limits(struct cgroup_resources *r) {
    int64_t host;
    int64_t helpers = HELPERS + (int64_t)HELPERS_CPU * get_nprocs_conf();
    if (!r->pids.set || r->pids.value <= 0) {
        return;
    }
    if (ckd_mul(&host, r->pids.value, 2) || ckd_add(&host, host, helpers)) {
        host = -1;
    }
    r->pids.value = host;
}

int sentry_update(const struct isolation_target *target, const struct cgroup_resources *resources,
                  struct err *err) {
    struct moat_ctl_reply reply;
    struct moat_ctl_update msg;
    memset(&msg, 0, sizeof(msg));
    msg.limits = ctlmsg_limits(resources);
    if (msg.limits.set == 0) {
        return 0; /* the others are the control groups' */
    }
    return sentry_request(target, &msg.ref, sizeof(msg), MOAT_CTL_UPDATE, &reply, sizeof(reply),
                          err);
}

int sandbox_ask_stats(const struct isolation_target *target, void *out, size_t size) {
    const struct timeval wait = {.tv_sec = STATS_WAIT_S};
    struct {
        struct moat_ctl_reply fixed;
        char data[STATS_MAX];
    } reply = {0};
    struct moat_ctl_ref msg;
    struct err ignored = {0};
    cleanup_fd int sock = sentry_connect(target, &ignored);
    int e = sock < 0 ? sock : ctlmsg_ref(&msg, MOAT_CTL_STATS, sizeof(msg), 1, target->c->id, NULL);
    if (e == 0 && setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0) {
        e = -errno;
    }
    e = e != 0 ? e
               : client_request(sock, &msg, sizeof(msg), NULL, 0, &reply, sizeof(reply), NULL,
                                &ignored);
    if (e == 0 && (reply.fixed.data_size != size || size > sizeof(reply.data))) {
        e = -EPROTO;
    }
    if (e == 0) {
        memcpy(out, reply.data, size);
    }
    return e;
}

/* The number of threads is that inside; all else the control groups know best, the sandbox's own
 * costs with it. */
int sentry_stats(const struct isolation_target *target, struct json_object *data, struct err *err) {
    struct moat_ctl_stats inside;
    struct json_object *pids = NULL;
    if (!json_object_object_get_ex(data, "pids", &pids) ||
        sandbox_ask_stats(target, &inside, sizeof(inside)) != 0) {
        return 0; /* what the control groups say stays */
    }
    /* Without memory the old member stays. */
    (void)json_object_object_add(pids, "current", json_object_new_uint64(inside.thread_count));
    (void)json_object_object_add(pids, "limit", json_object_new_uint64(inside.pids_limit));
    return 0;
}
