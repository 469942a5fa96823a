/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and replies of a connection, and the queue of nodes to forget. */
#include "base/string.h"
#include "fs/fuse/fuse.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"

#include <asm/errno.h>

static int64_t check_reply(const struct fuse_call *call, uint64_t unique, int64_t len) {
    struct fuse_out_header h;
    if (len < (int64_t)sizeof(h) || (size_t)len > call->reply_size) {
        return -EIO;
    }
    memcpy(&h, call->reply, sizeof(h));
    if (h.len != (uint64_t)len || h.unique != unique || h.error > 0 || h.error < -4095) {
        return -EIO;
    }
    if (h.error != 0) {
        return h.error;
    }
    int64_t body = len - (int64_t)sizeof(h);
    return body < (int64_t)call->reply_min ? -EIO : body;
}

int64_t fuse_call(struct fuse_conn *conn, const struct fuse_call *call) {
    static const char nul = '\0';
    const struct cred *cred = current->cred;
    struct fuse_in_header h = {
        .opcode = call->opcode,
        .unique = (atomic_fetch_add(&conn->next_unique, 1ull) + 1) * 2,
        .nodeid = call->nodeid,
        .uid = cred->fsuid,
        .gid = call->gid != NULL ? *call->gid : cred->fsgid,
        .pid = (uint32_t)current->tid,
    };
    struct hal_seg segs[5] = {{&h, sizeof(h)}};
    size_t count = 1, len = sizeof(h);
    int hfd = -1;
    if (call->in_size > 0) {
        segs[count++] = (struct hal_seg){(void *)(uintptr_t)call->in, call->in_size};
    }
    if (call->name != NULL) {
        segs[count++] = (struct hal_seg){(void *)(uintptr_t)call->name, call->name_len};
        segs[count++] = (struct hal_seg){(void *)(uintptr_t)&nul, 1};
    }
    if (call->tail_size > 0) {
        segs[count++] = (struct hal_seg){(void *)(uintptr_t)call->tail, call->tail_size};
    }
    for (size_t i = 1; i < count; i++) {
        len += segs[i].len;
    }
    if (len > HAL_GOFER_MSG_MAX) {
        return -E2BIG;
    }
    h.len = (uint32_t)len;
    int64_t got = conn->transport->call(conn, segs, count, call->reply, call->reply_size, &hfd);
    got = got < 0 ? got : check_reply(call, h.unique, got);
    if (call->out_hfd != NULL && got >= 0) {
        *call->out_hfd = hfd;
    } else if (hfd >= 0) {
        hal_file_close(hfd); /* not asked for */
    }
    return got;
}

int fuse_conn_create(const struct fuse_transport *transport, uint32_t channel,
                     struct fuse_conn **out_conn) {
    struct fuse_conn *conn = kzalloc(sizeof(*conn));
    if (conn == NULL) {
        return -ENOMEM;
    }
    conn->transport = transport;
    conn->channel = channel;
    spin_init(&conn->forget_lock, RANK_FS);
    spin_init(&conn->lru_lock, RANK_FS);
    list_init(&conn->lru);
    for (uint32_t i = 0; i < FUSE_BUCKETS; i++) {
        spin_init(&conn->buckets[i].lock, RANK_FS);
        list_init(&conn->buckets[i].inodes);
    }
    struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION,
                              .minor = FUSE_KERNEL_MINOR_VERSION,
                              .max_readahead = 128 * 1024,
                              .flags = FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS | FUSE_ATOMIC_O_TRUNC};
    FUSE_REPLY(struct fuse_init_out) reply;
    struct fuse_call call = {.opcode = FUSE_INIT,
                             .in = &in,
                             .in_size = sizeof(in),
                             .reply = &reply,
                             .reply_size = sizeof(reply),
                             .reply_min = FUSE_COMPAT_22_INIT_OUT_SIZE};
    int64_t got = fuse_call(conn, &call);
    if (got >= 0 && reply.body.major != FUSE_KERNEL_VERSION) {
        got = -EPROTO;
    }
    if (got < 0) {
        kfree(conn);
        return (int)got;
    }
    *out_conn = conn;
    return 0;
}

/* ---- forgetting ---- */

static void send_forgets(struct fuse_conn *conn, const struct fuse_forget_one *list,
                         uint32_t count) {
    struct fuse_batch_forget_in in = {.count = count};
    struct fuse_out_header reply;
    struct fuse_call call = {.opcode = FUSE_BATCH_FORGET,
                             .in = &in,
                             .in_size = sizeof(in),
                             .tail = list,
                             .tail_size = count * sizeof(*list),
                             .reply = &reply,
                             .reply_size = sizeof(reply)};
    (void)!fuse_call(conn, &call); /* has no reply; a server that is gone needs none either */
}

void fuse_forget(struct fuse_conn *conn, uint64_t nodeid, uint64_t lookups) {
    struct fuse_forget_one full[FUSE_FORGETS];
    uint32_t count = 0;
    if (lookups == 0) {
        return;
    }
    spin_lock(&conn->forget_lock);
    conn->forgets[conn->forget_count++] =
        (struct fuse_forget_one){.nodeid = nodeid, .nlookup = lookups};
    if (conn->forget_count == FUSE_FORGETS) {
        memcpy(full, conn->forgets, sizeof(full));
        count = FUSE_FORGETS;
        conn->forget_count = 0;
    }
    spin_unlock(&conn->forget_lock);
    if (count > 0) {
        send_forgets(conn, full, count);
    }
}

void fuse_forget_flush(struct fuse_conn *conn) {
    struct fuse_forget_one some[FUSE_FORGETS];
    spin_lock(&conn->forget_lock);
    uint32_t count = conn->forget_count;
    memcpy(some, conn->forgets, count * sizeof(some[0]));
    conn->forget_count = 0;
    spin_unlock(&conn->forget_lock);
    if (count > 0) {
        send_forgets(conn, some, count);
    }
}
