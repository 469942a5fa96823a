/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for messages and kicks: see vhost.h. */
#include "vhost.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* Requests taken from one queue before the others, and messages, get their turn. */
#define BATCH 64

static void init(struct vhost *v, struct gofer *g) {
    v->g = g;
    for (uint32_t i = 0; i < VHOST_QUEUES; i++) {
        v->queues[i].q = (struct virtq){.kick_fd = -1, .call_fd = -1, .enabled = true};
    }
}

/* Serves what has come to one queue; false when there was nothing. */
static bool serve_queue(struct vhost *v, struct vhost_queue *vq) {
    static struct virtq_chain chain; /* one thread */
    int got = 0, taken = 0;
    if (!virtq_ready(&vq->q)) {
        return false;
    }
    while (taken < BATCH && (got = virtq_take(&vq->q, &v->mem, &chain)) > 0) {
        virtq_give(&vq->q, &chain, vhost_serve(v->g, &chain));
        virtq_tell(&vq->q);
        taken++;
    }
    if (got < 0) {
        gofer_log(v->g, "moat-gofer: the machine broke a queue's rules: it is not served any more");
    }
    return taken > 0;
}

static bool serve_queues(struct vhost *v) {
    bool any = false;
    for (uint32_t i = 0; i < VHOST_QUEUES; i++) {
        any = serve_queue(v, &v->queues[i]) || any;
    }
    return any;
}

/* True when something came before a driver knew that it has to kick. */
static bool ask_for_kicks(struct vhost *v) {
    bool more = false;
    for (uint32_t i = 0; i < VHOST_QUEUES; i++) {
        struct virtq *q = &v->queues[i].q;
        more = (virtq_ready(q) && virtq_ask_for_kicks(q)) || more;
    }
    return more;
}

static void take_kick(const struct virtq *q) {
    uint64_t count;
    (void)!read(q->kick_fd, &count, sizeof(count)); /* the ring says what is there */
}

/* Waits for the next event; messages are taken here.  0, 1 at the end of the connection, -errno. */
static int wait_for_more(struct vhost *v) {
    struct pollfd p[2 + VHOST_QUEUES] = {{.fd = v->g->socket_fd, .events = POLLIN},
                                         {.fd = v->g->admin_fd, .events = POLLIN}};
    for (uint32_t i = 0; i < VHOST_QUEUES; i++) {
        const struct virtq *q = &v->queues[i].q;
        p[2 + i] = (struct pollfd){.fd = virtq_ready(q) ? q->kick_fd : -1, .events = POLLIN};
    }
    if (poll(p, ARRAY_COUNT(p), -1) <= 0) {
        return 0; /* EINTR */
    }
    if (p[1].revents != 0) {
        exports_change(v->g);
    }
    for (uint32_t i = 0; i < VHOST_QUEUES; i++) {
        if ((p[2 + i].revents & POLLIN) != 0) {
            take_kick(&v->queues[i].q);
        } else if (p[2 + i].revents != 0) {
            v->queues[i].q.broken = true; /* no eventfd ends */
        }
    }
    return p[0].revents != 0 ? vhost_message(v) : 0;
}

int vhost_run(struct gofer *g) {
    static struct vhost v;
    init(&v, g);
    for (;;) {
        if (serve_queues(&v) || ask_for_kicks(&v)) {
            continue;
        }
        int end = wait_for_more(&v);
        if (end != 0) {
            return end < 0 ? end : 0;
        }
    }
}
