/* SPDX-License-Identifier: Apache-2.0 */
/* Table of open handles; an fh is index + 1 and, in its upper half, how often that index was used
 * before. */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct handle {
    int fd; /* -1: free */
    uint32_t generation;
    uint64_t nodeid;
};

struct handle_table {
    struct handle handles[GOFER_HANDLES_MAX];
};

int handles_create(struct handle_table **out_table) {
    struct handle_table *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < GOFER_HANDLES_MAX; i++) {
        t->handles[i].fd = -1;
    }
    *out_table = t;
    return 0;
}

int handle_add(struct handle_table *t, int fd, uint64_t nodeid, uint64_t *out_fh) {
    for (uint32_t i = 0; i < GOFER_HANDLES_MAX; i++) {
        struct handle *h = &t->handles[i];
        if (h->fd < 0) {
            h->fd = fd;
            h->nodeid = nodeid;
            *out_fh = ((uint64_t)h->generation << 32) | (i + 1);
            return 0;
        }
    }
    return -ENFILE;
}

static struct handle *handle_find(struct handle_table *t, uint64_t fh) {
    uint32_t low = (uint32_t)fh;
    if (low == 0 || low > GOFER_HANDLES_MAX) {
        return NULL;
    }
    struct handle *h = &t->handles[low - 1];
    return h->fd >= 0 && h->generation == fh >> 32 ? h : NULL;
}

int handle_fd(struct handle_table *t, uint64_t fh, uint64_t nodeid) {
    struct handle *h = handle_find(t, fh);
    return h != NULL && h->nodeid == nodeid ? h->fd : -EBADF;
}

int handle_remove(struct handle_table *t, uint64_t fh) {
    struct handle *h = handle_find(t, fh);
    if (h == NULL) {
        return -EBADF;
    }
    (void)close(h->fd); /* what was written is the host's already */
    h->fd = -1;
    h->generation++;
    return 0;
}
