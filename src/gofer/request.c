/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request to an operation, for both kinds of client; and from a slot's bytes to a request
 * and back.  The slot is shared with the Sentry: it is read once, into g_request, and the reply is
 * only written.
 */
#include "ops.h"

#include <errno.h>
#include <string.h>

struct op {
    uint32_t opcode;
    op_fn *fn;
    uint32_t body_min;
    uint32_t flags;
};

#define OP(opcode, function, body, flags) {opcode, op_##function, body, flags},
static const struct op g_ops[] = {
#include "ops.def"
};
#undef OP

static uint8_t g_request[MOAT_GOFER_MSG_MAX + 8] __attribute__((aligned(8)));

void *reply_add(struct reply *r, size_t size) {
    if (size > r->cap - r->len) {
        return NULL;
    }
    void *at = r->body + r->len;
    r->len += (uint32_t)size;
    return at;
}

const char *request_string(const struct request *req, uint32_t off, uint32_t *out_next) {
    if (off >= req->body_len) {
        return NULL;
    }
    const char *s = (const char *)req->body + off;
    const char *end = memchr(s, '\0', req->body_len - off);
    if (end == NULL) {
        return NULL;
    }
    *out_next = off + (uint32_t)(end - s) + 1;
    return s;
}

static const struct op *find_op(uint32_t opcode) {
    for (size_t i = 0; i < ARRAY_COUNT(g_ops); i++) {
        if (g_ops[i].opcode == opcode) {
            return &g_ops[i];
        }
    }
    return NULL;
}

bool export_read_only(const struct gofer *g, const struct node *n) {
    return n->sealed || (g->exports[n->key.export_index].flags & MOAT_GOFER_EXPORT_RO) != 0;
}

static int run_op(struct gofer *g, const struct op *op, const struct request *req,
                  struct reply *r) {
    if (req->body_len < op->body_min) {
        return -EINVAL;
    }
    struct node *n = NULL;
    if ((op->flags & OPF_NODE) != 0) {
        n = node_find(g->nodes, req->h.nodeid);
        if (n == NULL && req->h.nodeid <= MOAT_GOFER_EXPORTS_ALL && g->admin_fd >= 0) {
            exports_change(g); /* nobody polls before the first one is added */
            n = node_find(g->nodes, req->h.nodeid);
        }
        if (n == NULL) {
            return -ESTALE;
        }
        if ((op->flags & OPF_DIR) != 0 && n->type != S_IFDIR) {
            return -ENOTDIR;
        }
        if ((op->flags & OPF_CHANGE) != 0 && export_read_only(g, n)) {
            return -EROFS;
        }
    }
    return op->fn(g, req, n, r);
}

static uint32_t answer(uint8_t *slot, const struct request *req, int err, uint32_t body_len) {
    struct fuse_out_header out = {
        .len = (uint32_t)sizeof(out) + (err == 0 ? body_len : 0),
        .error = err,
        .unique = req->h.unique,
    };
    memcpy(slot, &out, sizeof(out));
    return out.len;
}

bool gofer_run(struct gofer *g, const struct request *req, struct reply *r, int *out_err) {
    const struct op *op = find_op(req->h.opcode);
    if (op == NULL || (op->flags & (g->vhost ? OPF_CHANNEL : OPF_VHOST)) != 0) {
        *out_err = -ENOSYS;
        return true;
    }
    node_trim(g->nodes);
    *out_err = run_op(g, op, req, r);
    return (op->flags & OPF_SILENT) == 0;
}

uint32_t gofer_serve(struct gofer *g, uint32_t slot, uint32_t len) {
    struct request req;
    memset(&req, 0, sizeof(req));
    if (slot >= MOAT_GOFER_SLOTS) {
        return 0;
    }
    uint8_t *area = g->slots + (size_t)slot * MOAT_GOFER_SLOT_SIZE;
    if (len < sizeof(req.h) || len > MOAT_GOFER_MSG_MAX) {
        return answer(area, &req, -EINVAL, 0);
    }
    memcpy(g_request, area, len);
    memcpy(&req.h, g_request, sizeof(req.h));
    req.body = g_request + sizeof(req.h);
    req.body_len = len - (uint32_t)sizeof(req.h);
    if (req.h.len != len) {
        return answer(area, &req, -EINVAL, 0);
    }
    struct reply r = {
        .body = area + sizeof(struct fuse_out_header),
        .cap = MOAT_GOFER_MSG_MAX - (uint32_t)sizeof(struct fuse_out_header),
    };
    g->slot = slot;
    int err;
    return gofer_run(g, &req, &r, &err) ? answer(area, &req, err, r.len) : 0;
}
