/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue, seen from the device (virtio 1.2, section 2.7; linux/virtio_ring.h).
 *
 * Trust: the rings and all descriptors are in memory that the guest writes at any time.  Every
 * field is read once.  A queue whose driver breaks the rules is broken for good: nothing is taken
 * from it any more.
 */
#ifndef MOAT_GOFER_VIRTQ_H
#define MOAT_GOFER_VIRTQ_H

#include "guest_mem.h"

#include <linux/virtio_ring.h>

#define VIRTQ_SIZE_MAX 1024u /* descriptors of a queue, or in an indirect table */
#define VIRTQ_IOV_MAX  1024u /* pieces of a chain; IOV_MAX of preadv(2) */

struct virtq {
    uint32_t size; /* descriptors, a power of two */
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    uint16_t next;            /* the next index of the available ring to take */
    uint16_t done;            /* our index of the used ring */
    uint16_t told;            /* `done` when the driver was told last */
    bool told_ever;           /* else it has to be told */
    bool event_idx, indirect; /* features that the driver took */
    bool enabled;
    bool broken;
    int kick_fd, call_fd; /* eventfds, or -1 */
};

/* What a driver handed over: pieces to read, then pieces to write. */
struct virtq_chain {
    uint16_t head;
    uint32_t read_count, write_count;
    uint64_t read_size, write_size;
    struct iovec iov[VIRTQ_IOV_MAX];
};

/* Where the rings are; -EINVAL when they are not in the memory, or not aligned. */
must_check int virtq_place(struct virtq *q, const struct guest_mem *m, struct front_addr desc,
                           struct front_addr avail, struct front_addr used);
/* Can requests be taken from it? */
bool virtq_ready(const struct virtq *q);
/* Takes the next chain: 1; 0 when there is none; -EPROTO when the driver broke the rules. */
must_check int virtq_take(struct virtq *q, const struct guest_mem *m, struct virtq_chain *out);
/* Gives it back with `len` bytes written. */
void virtq_give(struct virtq *q, const struct virtq_chain *c, uint32_t len);
/* Tells the driver of what was given back, if it wants to be told. */
void virtq_tell(struct virtq *q);
/* Asks the driver to kick for the next one; true when one came meanwhile. */
must_check bool virtq_ask_for_kicks(struct virtq *q);
/* Has one come?  Nothing is taken. */
bool virtq_has_more(const struct virtq *q);

#endif
