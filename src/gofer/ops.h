/* SPDX-License-Identifier: Apache-2.0 */
/* The operations (ops.def) and what they share. */
#ifndef MOAT_GOFER_OPS_H
#define MOAT_GOFER_OPS_H

#include "gofer.h"
#include "node.h"

enum {
    OPF_NODE = 1,
    OPF_DIR = 2,
    OPF_CHANGE = 4,
    OPF_SILENT = 8,
    OPF_CHANNEL = 16,
    OPF_VHOST = 32,
};

/* `n` is the header's node where OPF_NODE says so.  Fills the reply's body; 0 or -errno (then the
 * body is dropped). */
typedef int op_fn(struct gofer *g, const struct request *req, struct node *n, struct reply *r);

#define OP(opcode, function, body, flags) op_fn op_##function;
#include "ops.def"
#undef OP

/* The NUL-terminated string at `off` of the body (without further checks), *out_next behind it;
 * NULL when there is none. */
const char *request_string(const struct request *req, uint32_t off, uint32_t *out_next);
/* Likewise one that must be a name: 0, -EINVAL, -ENAMETOOLONG. */
must_check int request_name(const struct request *req, uint32_t off, const char **out_name,
                            uint32_t *out_next);

/* Entry and attributes of the export that `name` of the top folder stands for, counted (top.c). */
must_check int top_lookup(struct gofer *g, const char *name, struct statx *out_stx,
                          struct node **out_node);

bool export_read_only(const struct gofer *g, const struct node *n);
void attr_fill(const struct gofer *g, const struct node *n, const struct statx *stx,
               struct fuse_attr *out);
void entry_fill(const struct gofer *g, const struct node *n, const struct statx *stx,
                struct fuse_entry_out *out);
/* Node and attributes of a child: looked up, counted. */
must_check int child_lookup(struct gofer *g, struct node *dir, const char *name,
                            struct statx *out_stx, struct node **out_node);
/* The same, appended to the reply as a fuse_entry_out. */
must_check int child_reply(struct gofer *g, struct node *dir, const char *name, struct reply *r);
/* Makes a new child the requester's own, with its mode, as far as we may. */
must_check int child_own(struct gofer *g, const struct request *req, int dir_fd, const char *name,
                         uint32_t mode);
/* Opens a regular file of known identity (O_ACCMODE and O_APPEND of flags); the descriptor is the
 * caller's. */
must_check int open_regular(struct gofer *g, struct node *n, int flags);
/* Takes set-user-id and set-group-id away from a file that is about to be changed. */
must_check int kill_set_id(int fd);
/* Likewise a regular file or directory, for reading only. */
must_check int open_readable(struct gofer *g, struct node *n);

/* ---- handles: opened files and directories that the client did not take as descriptors ---- */
must_check int handles_create(uint32_t max, struct handle_table **out_table);
must_check int handle_add(struct handle_table *t, int fd, uint64_t nodeid, uint64_t *out_fh);
/* The descriptor, or -EBADF when fh is not one of this node. */
must_check int handle_fd(struct handle_table *t, uint64_t fh, uint64_t nodeid);
must_check int handle_remove(struct handle_table *t, uint64_t fh);
/* Closes them all: the client begins anew. */
void handles_drop(struct handle_table *t);

#endif
