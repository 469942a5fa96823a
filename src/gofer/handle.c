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
    uint32_t next_free; /* index + 1 of the next free one, 0: none */
    uint64_t nodeid;
};

struct handle_table {
    uint32_t max, used; /* used: indexes below it were handed out at least once */
    uint32_t first_free;
    struct handle handles[];
};

int handles_create(uint32_t max, struct handle_table **out_table) {
    /* Zero pages until they are used. */
    struct handle_table *t = calloc(1, sizeof(*t) + (size_t)max * sizeof(struct handle));
    if (t == NULL) {
        return -ENOMEM;
    }
    t->max = max;
    *out_table = t;
    return 0;
}

int handle_add(struct handle_table *t, int fd, uint64_t nodeid, uint64_t *out_fh) {
    uint32_t index = t->first_free - 1;
    if (t->first_free != 0) {
        t->first_free = t->handles[index].next_free;
    } else if (t->used < t->max) {
        index = t->used++;
    } else {
        return -ENFILE;
    }
    struct handle *h = &t->handles[index];
    h->fd = fd;
    h->nodeid = nodeid;
    *out_fh = ((uint64_t)h->generation << 32) | (index + 1);
    return 0;
}

static struct handle *handle_find(struct handle_table *t, uint64_t fh) {
    uint32_t low = (uint32_t)fh;
    if (low == 0 || low > t->used) {
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
    h->next_free = t->first_free;
    t->first_free = (uint32_t)fh;
    return 0;
}

void handles_drop(struct handle_table *t) {
    for (uint32_t i = 0; i < t->used; i++) {
        if (t->handles[i].fd >= 0) {
            (void)handle_remove(t, ((uint64_t)t->handles[i].generation << 32) | (i + 1));
        }
    }
}
