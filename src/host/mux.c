/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and streams over one connection: see mux.h. */
#include "host/mux.h"

#include "host/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define IN_MAX (sizeof(struct moat_agent_frame) + MOAT_AGENT_FRAME_MAX)
/* More than this waits for the peer: nothing new is read for it. */
#define OUT_ENOUGH (128u * 1024u)
/* A write of this size to a pipe that polls writable does not block (pipe(7), PIPE_BUF). */
#define WRITE_STEP 4096u

int mux_init(struct mux *m, int fd) {
    memset(m, 0, sizeof(*m));
    for (uint32_t i = 0; i < MOAT_AGENT_STREAMS; i++) {
        m->streams[i].fd = -1;
    }
    m->fd = fd;
    m->in = malloc(IN_MAX);
    return m->in != NULL ? 0 : -ENOMEM;
}

static void stream_close(struct mux_stream *s) {
    cleanup_fd_fn(&s->fd);
    free(s->buf);
    *s = (struct mux_stream){.fd = -1};
}

void mux_close(struct mux *m) {
    for (uint32_t i = 0; i < m->stream_end; i++) {
        stream_close(&m->streams[i]);
    }
    cleanup_fd_fn(&m->fd);
    free(m->in);
    free(m->out);
    m->in = m->out = NULL;
    m->fd = -1;
}

/* ---- sending ---- */

static int out_reserve(struct mux *m, size_t size) {
    if (m->out_start > 0) {
        memmove(m->out, m->out + m->out_start, m->out_len - m->out_start);
        m->out_len -= m->out_start;
        m->out_start = 0;
    }
    if (size > MUX_OUT_MAX - m->out_len) {
        return -ENOBUFS;
    }
    if (m->out_len + size > m->out_cap) {
        size_t cap = MAX(m->out_len + size, MAX(m->out_cap * 2, (size_t)65536));
        char *grown = realloc(m->out, cap);
        if (grown == NULL) {
            return -ENOMEM;
        }
        m->out = grown;
        m->out_cap = cap;
    }
    return 0;
}

int mux_send(struct mux *m, uint16_t kind, uint16_t stream, const void *payload, size_t size) {
    const struct moat_agent_frame f = {.size = (uint32_t)size, .kind = kind, .stream = stream};
    if (size > MOAT_AGENT_FRAME_MAX) {
        return -EMSGSIZE;
    }
    int e = out_reserve(m, sizeof(f) + size);
    if (e != 0) {
        return e;
    }
    memcpy(m->out + m->out_len, &f, sizeof(f));
    if (size > 0) {
        memcpy(m->out + m->out_len + sizeof(f), payload, size);
    }
    m->out_len += sizeof(f) + size;
    return 0;
}

static int flush_out(struct mux *m) {
    while (m->fd >= 0 && m->out_start < m->out_len) {
        ssize_t n = write(m->fd, m->out + m->out_start, m->out_len - m->out_start);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        }
        m->out_start += (size_t)n;
    }
    return 0;
}

/* ---- streams ---- */

int mux_open(struct mux *m, uint32_t stream, int fd, bool inbound) {
    char *buf = inbound ? malloc(MOAT_AGENT_WINDOW) : NULL;
    if (stream >= MOAT_AGENT_STREAMS || m->streams[stream].open || (inbound && buf == NULL)) {
        int e = inbound && buf == NULL ? -ENOMEM : -EINVAL;
        free(buf);
        cleanup_fd_fn(&fd);
        return e;
    }
    m->streams[stream] = (struct mux_stream){
        .fd = fd, .open = true, .inbound = inbound, .credit = MOAT_AGENT_WINDOW, .buf = buf};
    m->stream_end = MAX(m->stream_end, stream + 1);
    return 0;
}

void mux_end(struct mux *m, uint32_t stream) {
    if (mux_is_open(m, stream)) {
        stream_close(&m->streams[stream]);
        (void)mux_send(m, MOAT_AGENT_END, (uint16_t)stream, NULL, 0); /* a full queue shows soon */
    }
}

bool mux_is_open(const struct mux *m, uint32_t stream) {
    return stream < MOAT_AGENT_STREAMS && m->streams[stream].open;
}

bool mux_is_flushed(const struct mux *m, uint32_t stream) {
    return !mux_is_open(m, stream) || m->streams[stream].len == 0;
}

/* Outbound: one read.  1 when there may be more, 0 when not now, -errno when the queue is full. */
static int stream_read(struct mux *m, uint32_t stream) {
    struct mux_stream *s = &m->streams[stream];
    char data[MOAT_AGENT_DATA_MAX];
    if (s->credit == 0) {
        return 0;
    }
    ssize_t n = read(s->fd, data, MIN((size_t)s->credit, sizeof(data)));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n <= 0) { /* EIO: a terminal whose other side is gone */
        mux_end(m, stream);
        return 0;
    }
    s->credit -= (uint32_t)n;
    int e = mux_send(m, MOAT_AGENT_DATA, (uint16_t)stream, data, (size_t)n);
    return e != 0 ? e : 1;
}

int mux_drain(struct mux *m, uint32_t stream) {
    int more = 1;
    while (more == 1 && mux_is_open(m, stream)) {
        struct pollfd p = {.fd = m->streams[stream].fd, .events = POLLIN};
        more = poll(&p, 1, 0) == 1 ? stream_read(m, stream) : 0;
    }
    return more;
}

/* Inbound: one write of what waits. */
static void stream_write(struct mux *m, uint32_t stream) {
    struct mux_stream *s = &m->streams[stream];
    uint32_t step = MIN(MIN(s->len, MOAT_AGENT_WINDOW - s->start), WRITE_STEP);
    ssize_t n = send(s->fd, s->buf + s->start, step, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == ENOTSOCK) {
        n = write(s->fd, s->buf + s->start, step);
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n < 0) {
        mux_end(m, stream); /* nobody reads it: the writer over there will see a broken pipe */
        return;
    }
    s->start = (s->start + (uint32_t)n) % MOAT_AGENT_WINDOW;
    s->len -= (uint32_t)n;
    s->owed += (uint32_t)n;
    if (s->owed >= MOAT_AGENT_WINDOW / 2) {
        uint32_t grant = s->owed;
        s->owed = 0;
        s->credit += grant;
        (void)mux_send(m, MOAT_AGENT_CREDIT, (uint16_t)stream, &grant, sizeof(grant));
    }
    if (s->ending && s->len == 0) {
        stream_close(s);
    }
}

/* ---- receiving ---- */

static int take_data(struct mux_stream *s, const char *data, uint32_t size) {
    if (!s->open) {
        return 0; /* it was closed here while the data was under way */
    }
    if (!s->inbound || s->ending || size == 0 || size > MOAT_AGENT_DATA_MAX || size > s->credit) {
        return -EPROTO;
    }
    s->credit -= size;
    uint32_t at = (s->start + s->len) % MOAT_AGENT_WINDOW;
    uint32_t first = MIN(size, MOAT_AGENT_WINDOW - at);
    memcpy(s->buf + at, data, first);
    memcpy(s->buf, data + first, size - first);
    s->len += size;
    return 0;
}

static int take_credit(struct mux_stream *s, const void *payload, uint32_t size) {
    uint32_t grant;
    if (size != sizeof(grant)) {
        return -EPROTO;
    }
    memcpy(&grant, payload, sizeof(grant));
    if (!s->open) {
        return 0;
    }
    if (s->inbound || grant > MOAT_AGENT_WINDOW - s->credit) {
        return -EPROTO;
    }
    s->credit += grant;
    return 0;
}

static int take_frame(struct mux *m, const struct moat_agent_frame *f, const void *payload) {
    bool about_stream =
        f->kind == MOAT_AGENT_DATA || f->kind == MOAT_AGENT_END || f->kind == MOAT_AGENT_CREDIT;
    if (!about_stream) {
        return m->on_frame(m->arg, f, payload);
    }
    if (f->stream >= MOAT_AGENT_STREAMS) {
        return -EPROTO;
    }
    struct mux_stream *s = &m->streams[f->stream];
    if (f->kind == MOAT_AGENT_DATA) {
        return take_data(s, payload, f->size);
    }
    if (f->kind == MOAT_AGENT_CREDIT) {
        return take_credit(s, payload, f->size);
    }
    if (s->open && s->inbound && s->len > 0) {
        s->ending = true;
    } else if (s->open) {
        stream_close(s);
    }
    return 0;
}

static int take_input(struct mux *m) {
    ssize_t n = read(m->fd, m->in + m->in_len, IN_MAX - m->in_len);
    if (n <= 0) {
        return n == 0 ? -EPIPE : errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    m->in_len += (size_t)n;
    size_t at = 0;
    int e = 0;
    while (e == 0 && m->in_len - at >= sizeof(struct moat_agent_frame)) {
        struct moat_agent_frame f;
        memcpy(&f, m->in + at, sizeof(f));
        if (f.size > MOAT_AGENT_FRAME_MAX) {
            return -EPROTO;
        }
        if (m->in_len - at < sizeof(f) + f.size) {
            break;
        }
        e = take_frame(m, &f, m->in + at + sizeof(f));
        at += sizeof(f) + f.size;
    }
    memmove(m->in, m->in + at, m->in_len - at);
    m->in_len -= at;
    return e;
}

/* ---- poll ---- */

static short wanted_events(const struct mux *m, const struct mux_stream *s) {
    if (s->inbound) {
        return s->len > 0 ? POLLOUT : 0;
    }
    return s->credit > 0 && m->out_len - m->out_start < OUT_ENOUGH ? POLLIN : 0;
}

size_t mux_prepare(const struct mux *m, struct pollfd *polls) {
    size_t count = 0;
    polls[count++] = (struct pollfd){
        .fd = m->fd, .events = (short)(POLLIN | (m->out_start < m->out_len ? POLLOUT : 0))};
    for (uint32_t i = 0; i < m->stream_end; i++) {
        const struct mux_stream *s = &m->streams[i];
        short events = s->open ? wanted_events(m, s) : 0;
        /* Without a wish there is no entry: POLLHUP of a pipe would come again and again.  An
         * inbound pipe that nobody reads any more shows at the next write. */
        if (events != 0) {
            polls[count++] = (struct pollfd){.fd = s->fd, .events = events};
        }
    }
    return count;
}

static const struct pollfd *find_poll(const struct pollfd *polls, size_t count, int fd) {
    for (size_t i = 1; i < count; i++) {
        if (polls[i].fd == fd) {
            return &polls[i];
        }
    }
    return NULL;
}

int mux_handle(struct mux *m, const struct pollfd *polls, size_t count) {
    int e = 0;
    for (uint32_t i = 0; i < m->stream_end && e >= 0; i++) {
        const struct mux_stream *s = &m->streams[i];
        const struct pollfd *p = s->open ? find_poll(polls, count, s->fd) : NULL;
        if (p == NULL || p->revents == 0) {
            continue;
        }
        if (s->inbound) {
            stream_write(m, i);
        } else {
            e = stream_read(m, i);
        }
    }
    if (e >= 0 && (polls[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        e = take_input(m);
    }
    int flushed = flush_out(m);
    return e < 0 ? e : flushed;
}
