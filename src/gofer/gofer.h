/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moat-gofer: the file server of one sandbox.  It answers FUSE requests from exported host
 * directories: those of the Sentry (channel.c), or those of a virtual machine's kernel, which come
 * as virtio-fs over vhost-user (vhost.c).
 *
 * Trust: requests come from a client that may have been taken over, names and files from whoever
 * else can write the exported directories.  Rules that hold everywhere here:
 *  - a request is copied out of shared memory once, and only the copy is read; what is answered is
 * written there, never read back (file data of a virtual machine go between its memory and the
 * file without being looked at);
 *  - the file system is reached one component at a time, relative to a directory that was reached
 * likewise, and a symlink is never followed: names hold no '/', and are not "." or "..";
 *  - only regular files and directories are ever opened; everything else is looked at with O_PATH
 * or statx.
 *
 * One thread serves; there are no locks.
 */
#ifndef MOAT_GOFER_GOFER_H
#define MOAT_GOFER_GOFER_H

#include "base/types.h"
#include "moat/gofer.h"

#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* The most nodes a client may make us remember, and descriptors we keep for them (less when the
 * host allows fewer). */
#define GOFER_NODES_MAX   (1u << 20)
#define GOFER_FDS_MAX     16384u
#define GOFER_HANDLES_MAX 1024u  /* of a Sentry, which takes descriptors instead */
#define VHOST_HANDLES_MAX 16384u /* of a virtual machine (less when the host allows fewer) */
#define GOFER_NAME_MAX    255u

struct export {
    int dir_fd; /* root of a mount of our own (nodev), or the launcher's descriptor where we may not
                   mount */
    uint32_t flags; /* MOAT_GOFER_EXPORT_* */
    uint64_t dev;   /* of its root */
    bool own_mount;
    bool empty;  /* dir_fd is our own empty root */
    int file_fd; /* of an exported regular file: open, else -1 */
    bool file_writable;
};

struct node_table;
struct handle_table;

struct gofer {
    struct export exports[MOAT_GOFER_EXPORTS_ALL];
    uint32_t export_count; /* at start */
    bool vhost;            /* the client is a virtual machine's kernel */
    uint32_t first_export; /* index of the launcher's first: with vhost 0 is the folder of all */
    struct node_table *nodes;
    struct handle_table *handles;
    uint8_t *slots; /* shared with the Sentry; NULL with vhost */
    int socket_fd;
    int admin_fd;      /* exports that come and go, or -1 */
    bool admin_polled; /* some came: others may go at any time */
    int log_fd;
    bool poll_first;   /* before each receive: see channel.c */
    uint32_t slot;     /* of the request being served */
    uint32_t uid, gid; /* our own */
};

/* Memory of the client that file data are moved to or from directly: hostile bytes, never read
 * here. */
struct data_place {
    const struct iovec *iov;
    uint32_t count; /* at most IOV_MAX */
    uint64_t size;  /* sum of the lengths */
};

/* A request's private copy. */
struct request {
    struct fuse_in_header h;
    const uint8_t *body;
    uint32_t body_len;
    struct data_place data; /* of FUSE_WRITE, where it is not in `body` */
};

/* The reply's place: written only. */
struct reply {
    uint8_t *body; /* behind the fuse_out_header */
    uint32_t cap;
    uint32_t len;
    struct data_place data; /* where FUSE_READ's go instead of `body`, if the client has such */
    bool in_data;           /* they are there: `len` bytes */
};

/* Serves the request of `len` bytes in `slot`; the reply's length, 0 when there is none. */
uint32_t gofer_serve(struct gofer *g, uint32_t slot, uint32_t len);
/* Serves a request that was copied; false when it has no reply.  *out_err: 0 (then r holds the
 * body) or -errno. */
bool gofer_run(struct gofer *g, const struct request *req, struct reply *r, int *out_err);
/* Sends `fd` to the Sentry for the request being served.  0 or -errno; fd stays the caller's. */
must_check int gofer_pass_fd(struct gofer *g, int fd, uint64_t unique);
/* The root node of g->exports[index] (exports.c). */
must_check int export_add_root(struct gofer *g, uint32_t index);
/* Marks the root of export 0 as the folder of all (top.c); with vhost, after export_add_root. */
must_check int top_create(struct gofer *g);
/* Takes what the launcher sent over admin_fd (exports.c); closes it at its end. */
void exports_change(struct gofer *g);
/* A line for people. */
void gofer_log(const struct gofer *g, const char *format, ...) printf_like(2, 3);

/* Appends to the reply: where to write, or NULL when it does not fit. */
void *reply_add(struct reply *r, size_t size);

#endif
