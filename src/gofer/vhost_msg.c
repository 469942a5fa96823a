/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the front end: vhost_user.h, vhost_user.def.  A message that makes no sense ends the
 * connection, unless the front end asked to be told.
 */
#include "vhost.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FEATURES                                                                                   \
    (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_INDIRECT_DESC |                            \
     1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VHOST_USER_F_PROTOCOL_FEATURES)
#define PROTOCOL_FEATURES (1ull << VHOST_USER_PROTOCOL_MQ | 1ull << VHOST_USER_PROTOCOL_REPLY_ACK)

/* One message, and where its answer goes. */
struct message {
    struct vhost_user_header h;
    union vhost_user_payload p;
    int fds[VHOST_USER_FDS]; /* -1: taken */
    uint32_t fd_count;
    uint32_t reply_size; /* bytes of p that answer it; 0: it has no answer of its own */
};

typedef int message_fn(struct vhost *v, struct message *m);

/* ---- the device ---- */

static int msg_get_features(struct vhost *v, struct message *m) {
    (void)v; /* all are alike */
    m->p.number = FEATURES;
    m->reply_size = sizeof(m->p.number);
    return 0;
}

static int msg_set_features(struct vhost *v, struct message *m) {
    if ((m->p.number & ~FEATURES) != 0) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < VHOST_QUEUES; i++) {
        struct virtq *q = &v->queues[i].q;
        q->event_idx = (m->p.number >> VIRTIO_RING_F_EVENT_IDX & 1) != 0;
        q->indirect = (m->p.number >> VIRTIO_RING_F_INDIRECT_DESC & 1) != 0;
    }
    return 0;
}

static int msg_get_protocol_features(struct vhost *v, struct message *m) {
    (void)v; /* as above */
    m->p.number = PROTOCOL_FEATURES;
    m->reply_size = sizeof(m->p.number);
    return 0;
}

static int msg_set_protocol_features(struct vhost *v, struct message *m) {
    v->reply_ack = (m->p.number >> VHOST_USER_PROTOCOL_REPLY_ACK & 1) != 0;
    return (m->p.number & ~PROTOCOL_FEATURES) != 0 ? -EINVAL : 0;
}

static int msg_get_queue_num(struct vhost *v, struct message *m) {
    (void)v; /* as above */
    m->p.number = VHOST_QUEUES;
    m->reply_size = sizeof(m->p.number);
    return 0;
}

static int msg_set_owner(struct vhost *v, struct message *m) {
    (void)v; /* there is one front end */
    (void)m;
    return 0;
}

static void stop_queue(struct vhost_queue *vq) {
    if (vq->q.kick_fd >= 0) {
        (void)close(vq->q.kick_fd); /* ours */
    }
    vq->q.kick_fd = -1;
    vq->q.desc = NULL;
    vq->q.broken = vq->q.told_ever = vq->placed = false;
}

static int msg_reset_owner(struct vhost *v, struct message *m) {
    (void)m; /* has no content */
    for (uint32_t i = 0; i < VHOST_QUEUES; i++) {
        stop_queue(&v->queues[i]);
    }
    return 0;
}

/* ---- memory ---- */

static int place_queue(struct vhost *v, struct vhost_queue *vq) {
    return virtq_place(&vq->q, &v->mem, vq->desc, vq->avail, vq->used);
}

static int msg_set_mem_table(struct vhost *v, struct message *m) {
    const uint64_t head = sizeof(m->p.memory) - sizeof(m->p.memory.regions);
    if (m->p.memory.count > VHOST_USER_REGIONS ||
        m->h.size < head + m->p.memory.count * sizeof(m->p.memory.regions[0])) {
        return -EINVAL;
    }
    int err = guest_mem_set(&v->mem, &m->p.memory, m->fds, m->fd_count);
    for (uint32_t i = 0; i < VHOST_QUEUES; i++) {
        struct vhost_queue *vq = &v->queues[i];
        vq->q.desc = NULL; /* it was in the old mapping */
        if (err == 0 && vq->placed) {
            err = place_queue(v, vq);
        }
    }
    return err;
}

/* ---- queues ---- */

/* NULL for a queue that there is not. */
static struct vhost_queue *queue_at(struct vhost *v, uint64_t index) {
    return index < VHOST_QUEUES ? &v->queues[index] : NULL;
}

static int msg_set_vring_num(struct vhost *v, struct message *m) {
    struct vhost_queue *vq = queue_at(v, m->p.state.index);
    uint32_t size = m->p.state.value;
    if (vq == NULL || size == 0 || size > VIRTQ_SIZE_MAX || (size & (size - 1)) != 0) {
        return -EINVAL;
    }
    vq->q.size = size;
    vq->q.desc = NULL; /* the place was checked for another size */
    vq->placed = false;
    return 0;
}

static int msg_set_vring_addr(struct vhost *v, struct message *m) {
    struct vhost_queue *vq = queue_at(v, m->p.addr.index);
    if (vq == NULL || m->p.addr.flags != 0) { /* no logging was offered */
        return -EINVAL;
    }
    vq->desc = (struct front_addr){m->p.addr.desc};
    vq->avail = (struct front_addr){m->p.addr.avail};
    vq->used = (struct front_addr){m->p.addr.used};
    int err = place_queue(v, vq);
    vq->placed = err == 0;
    return err;
}

/* Requests are answered before the next is taken: both rings stand at the same index. */
static int msg_set_vring_base(struct vhost *v, struct message *m) {
    struct vhost_queue *vq = queue_at(v, m->p.state.index);
    if (vq == NULL || m->p.state.value > UINT16_MAX) {
        return -EINVAL;
    }
    vq->q.next = vq->q.done = vq->q.told = (uint16_t)m->p.state.value;
    vq->q.told_ever = false;
    return 0;
}

static int msg_get_vring_base(struct vhost *v, struct message *m) {
    struct vhost_queue *vq = queue_at(v, m->p.state.index);
    if (vq == NULL) {
        return -EINVAL;
    }
    stop_queue(vq);
    m->p.state.value = vq->q.next;
    m->reply_size = sizeof(m->p.state);
    return 0;
}

/* Takes the descriptor of a message about a queue: *place is replaced. */
static int take_fd(struct message *m, int *place) {
    bool none = (m->p.number & VHOST_USER_NO_FD) != 0;
    if (m->fd_count != (none ? 0u : 1u)) {
        return -EINVAL;
    }
    if (*place >= 0) {
        (void)close(*place); /* replaced */
    }
    *place = none ? -1 : m->fds[0];
    m->fds[0] = -1;
    return 0;
}

static int msg_set_vring_kick(struct vhost *v, struct message *m) {
    struct vhost_queue *vq = queue_at(v, m->p.number & VHOST_USER_RING_MASK);
    return vq == NULL ? -EINVAL : take_fd(m, &vq->q.kick_fd);
}

static int msg_set_vring_call(struct vhost *v, struct message *m) {
    struct vhost_queue *vq = queue_at(v, m->p.number & VHOST_USER_RING_MASK);
    return vq == NULL ? -EINVAL : take_fd(m, &vq->q.call_fd);
}

static int msg_set_vring_err(struct vhost *v, struct message *m) {
    (void)m; /* a broken queue is told nobody: its descriptor is closed with the message */
    return queue_at(v, m->p.number & VHOST_USER_RING_MASK) == NULL ? -EINVAL : 0;
}

static int msg_set_vring_enable(struct vhost *v, struct message *m) {
    struct vhost_queue *vq = queue_at(v, m->p.state.index);
    if (vq == NULL || m->p.state.value > 1) {
        return -EINVAL;
    }
    vq->q.enabled = m->p.state.value != 0;
    return 0;
}

/* ---- the socket ---- */

static const struct {
    uint32_t request;
    message_fn *fn;
    uint32_t size_min;
} g_messages[] = {
#define MESSAGE(number, function, size) {number, msg_##function, size},
#include "vhost_user.def"
#undef MESSAGE
};

/* Reads the header and the descriptors that come with it: bytes, 0 at the end, -errno. */
static ssize_t receive_header(int sock, struct message *m) {
    struct iovec iov = {.iov_base = &m->h, .iov_len = sizeof(m->h)};
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(VHOST_USER_FDS * sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf)};
    ssize_t got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    struct cmsghdr *c = got > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        m->fd_count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(m->fds, CMSG_DATA(c), m->fd_count * sizeof(int));
    }
    return got < 0 ? -errno : got;
}

static int run_message(struct vhost *v, struct message *m) {
    for (size_t i = 0; i < ARRAY_COUNT(g_messages); i++) {
        if (g_messages[i].request == m->h.request) {
            return m->h.size < g_messages[i].size_min ? -EINVAL : g_messages[i].fn(v, m);
        }
    }
    return -ENOSYS;
}

static int answer(const struct vhost *v, struct message *m) {
    struct {
        struct vhost_user_header h;
        uint8_t payload[sizeof(m->p)];
    } out = {{.request = m->h.request,
              .flags = VHOST_USER_VERSION | VHOST_USER_REPLY,
              .size = m->reply_size},
             {0}};
    memcpy(out.payload, &m->p, m->reply_size);
    size_t size = sizeof(out.h) + m->reply_size;
    return send(v->g->socket_fd, &out, size, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -EPIPE;
}

/* Runs a message that was read, and answers it where an answer is due. */
static int handle(struct vhost *v, struct message *m) {
    bool ack = v->reply_ack && (m->h.flags & VHOST_USER_NEED_REPLY) != 0;
    int err = run_message(v, m);
    if (err != 0) {
        gofer_log(v->g, "moat-gofer: message %u of the hypervisor is not taken: %s", m->h.request,
                  strerror(-err));
    }
    if (m->reply_size == 0 && ack) {
        m->p.number = err != 0; /* "zero indicates success" */
        m->reply_size = sizeof(m->p.number);
        err = 0;
    }
    return err == 0 && m->reply_size > 0 ? answer(v, m) : err;
}

int vhost_message(struct vhost *v) {
    struct message m;
    memset(&m, 0, sizeof(m));
    ssize_t got = receive_header(v->g->socket_fd, &m);
    int err = got == (ssize_t)sizeof(m.h) ? 0 : got == 0 || got == -ECONNRESET ? 1 : -EPROTO;
    if (got == -EINTR) {
        return 0;
    }
    if (err == 0 &&
        ((m.h.flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION || m.h.size > sizeof(m.p))) {
        err = -EPROTO;
    }
    if (err == 0 && m.h.size > 0 &&
        recv(v->g->socket_fd, &m.p, m.h.size, MSG_WAITALL) != (ssize_t)m.h.size) {
        err = 1; /* gone in the middle of it */
    }
    if (err == 0) {
        err = handle(v, &m);
    }
    for (uint32_t i = 0; i < m.fd_count; i++) {
        if (m.fds[i] >= 0) {
            (void)close(m.fds[i]); /* mapped, or not wanted */
        }
    }
    return err;
}
