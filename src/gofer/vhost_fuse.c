/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a chain of descriptors to a request, and from the reply into the chain.
 *
 * The message is copied out of the machine's memory once.  Data of FUSE_WRITE and FUSE_READ stay
 * there: the host's kernel moves them between that memory and the file.
 */
#include "ops.h"
#include "vhost.h"

#include <errno.h>
#include <string.h>

static uint8_t g_message[MOAT_GOFER_MSG_MAX] __attribute__((aligned(8)));
static uint8_t g_answer[MOAT_GOFER_MSG_MAX] __attribute__((aligned(8)));

/* A place in a list of pieces. */
struct cursor {
    struct iovec *iov;
    uint32_t count;
};

/* Copies `len` bytes out of (or into) the pieces and goes on behind them; as many as there are. */
static size_t move(struct cursor *c, uint8_t *ours, size_t len, bool in) {
    size_t done = 0;
    while (done < len && c->count > 0) {
        size_t part = MIN(len - done, c->iov->iov_len);
        if (in) {
            memcpy(c->iov->iov_base, ours + done, part);
        } else {
            memcpy(ours + done, c->iov->iov_base, part);
        }
        done += part;
        c->iov->iov_base = (uint8_t *)c->iov->iov_base + part;
        c->iov->iov_len -= part;
        if (c->iov->iov_len == 0) {
            c->iov++;
            c->count--;
        }
    }
    return done;
}

static struct data_place place_of(const struct cursor *c, uint64_t size) {
    return (struct data_place){.iov = c->iov, .count = c->count, .size = size};
}

/* Copies the message; FUSE_WRITE's data stay where they are.  0 or -errno for the reply. */
static int take_request(struct cursor *in, uint64_t size, struct request *req) {
    (void)move(in, g_message, sizeof(req->h), false); /* the caller looked at the size */
    memcpy(&req->h, g_message, sizeof(req->h));
    if (req->h.len != size) {
        return -EINVAL;
    }
    uint64_t rest = size - sizeof(req->h);
    bool write = req->h.opcode == FUSE_WRITE && rest >= sizeof(struct fuse_write_in);
    uint64_t body = write ? sizeof(struct fuse_write_in) : rest;
    if (body > sizeof(g_message) - sizeof(req->h)) {
        return -E2BIG;
    }
    req->body = g_message + sizeof(req->h);
    req->body_len = (uint32_t)move(in, g_message + sizeof(req->h), body, false);
    if (write) {
        req->data = place_of(in, rest - body);
    }
    return 0;
}

/* Moves over `len` bytes. */
static void skip(struct cursor *c, size_t len) {
    while (len > 0 && c->count > 0) {
        size_t part = MIN(len, c->iov->iov_len);
        c->iov->iov_base = (uint8_t *)c->iov->iov_base + part;
        c->iov->iov_len -= part;
        len -= part;
        if (c->iov->iov_len == 0) {
            c->iov++;
            c->count--;
        }
    }
}

/* A cursor over a copy of some pieces: what is moved over is lost to it. */
static struct cursor cursor_of(struct iovec *copy, const struct iovec *iov, uint32_t count) {
    memcpy(copy, iov, count * sizeof(*iov));
    return (struct cursor){copy, count};
}

uint32_t vhost_serve(struct gofer *g, const struct virtq_chain *c) {
    static struct iovec in_copy[VIRTQ_IOV_MAX], head_copy[VIRTQ_IOV_MAX], body_copy[VIRTQ_IOV_MAX];
    struct request req;
    struct reply r = {.body = g_answer, .cap = sizeof(g_answer)};
    struct fuse_out_header out = {.len = sizeof(out)};
    memset(&req, 0, sizeof(req));
    if (c->read_size < sizeof(req.h)) {
        return 0;
    }
    struct cursor in = cursor_of(in_copy, c->iov, c->read_count);
    struct cursor body = cursor_of(body_copy, c->iov + c->read_count, c->write_count);
    uint64_t room = c->write_size < sizeof(out) ? 0 : c->write_size - sizeof(out);
    skip(&body, sizeof(out));
    int err = take_request(&in, c->read_size, &req);
    if (req.h.opcode == FUSE_READ) {
        r.data = place_of(&body, room);
    }
    if ((err == 0 && !gofer_run(g, &req, &r, &err)) || c->write_size < sizeof(out)) {
        return 0; /* no reply, or no place for one */
    }
    if (err == 0 && r.len > room) {
        err = -EIO; /* the machine made less room than the answer takes */
    }
    if (err == 0 && !r.in_data) {
        (void)move(&body, g_answer, r.len, true); /* there is room */
    }
    out.len += err == 0 ? r.len : 0;
    out.error = err;
    out.unique = req.h.unique;
    struct cursor head = cursor_of(head_copy, c->iov + c->read_count, c->write_count);
    (void)move(&head, (uint8_t *)&out, sizeof(out), true); /* likewise */
    return out.len;
}
