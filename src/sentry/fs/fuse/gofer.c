/* SPDX-License-Identifier: Apache-2.0 */
/* The transport to the Gofer: one host hand-over a request. */
#include "fs/fuse/fuse.h"

static int64_t gofer_call(struct fuse_conn *conn, const struct hal_seg *req, size_t count,
                          void *reply, size_t size, int *out_hfd) {
    return hal_gofer_call(conn->channel, req, count, reply, size, out_hfd);
}

const struct fuse_transport g_fuse_gofer_transport = {.call = gofer_call};
