/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both things that the Gofer's vhost-user back end has on the other side, played by a test: the
 * hypervisor (vhost-user's front end) and the machine's kernel (the virtio driver).  The back end
 * runs as the real program, confined, or in a child of the test itself, where sanitizers see it.
 */
#ifndef MOAT_TESTS_VHOST_DRIVER_H
#define MOAT_TESTS_VHOST_DRIVER_H

#include <linux/fuse.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "gofer/vhost_user.h"

/* The machine's memory: one file, shown as two regions that meet in the middle. */
#define MEM_SIZE   (8u << 20)
#define MEM_MIDDLE (4u << 20)
#define MEM_PHYS   0x100000ull       /* guest-physical address of its beginning */
#define MEM_FRONT  0x7f0000000000ull /* where the front end says that it has it */

#define QUEUE_SIZE 64u

struct driver_queue {
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    int kick, call;
    uint16_t seen; /* of the used ring */
};

struct driver {
    pid_t pid;
    int sock;
    uint8_t *mem;
    int mem_fd;
    struct driver_queue q[2];
    uint64_t unique;
};

/* Exports 0 and 1 of the machine: `rw`, and `ro` read-only.  `program` NULL: in a child. */
void driver_start(struct driver *d, const char *program, const char *rw, const char *ro);
/* Without memory and queues: for tests of messages. */
void driver_connect(struct driver *d, const char *program, const char *rw, const char *ro);
/* Negotiates `features` and sets up both queues anew. */
void driver_set_up(struct driver *d, uint64_t features);
/* Closes the connection; the back end's wait status. */
int driver_stop(struct driver *d);
bool driver_alive(struct driver *d);
/* A node of the machine's memory by offset, and its guest-physical address. */
static inline uint64_t driver_phys(uint64_t off) {
    return MEM_PHYS + off;
}

/* A message of the front end; the answer's payload, if it is to have one (else NULL).  False when
 * the connection ended instead. */
bool driver_send(struct driver *d, uint32_t request, uint32_t flags, const void *payload,
                 uint32_t size, const int *fds, uint32_t fd_count);
bool driver_receive(struct driver *d, uint64_t *out_number);

/* Makes descriptor `head` of queue `q` available and kicks. */
void driver_offer(struct driver *d, unsigned q, uint16_t head);
/* Waits until the back end gave something back (true) or died, or nothing came for a while. */
bool driver_wait(struct driver *d, unsigned q, uint32_t *out_len, int timeout_ms);

/*
 * One FUSE request: `body`, then up to two strings with their NULs, then data; the reply's body
 * goes to `out` (the rest of it zeroed).  Its length, or the reply's -errno.
 */
struct driver_call {
    uint32_t opcode;
    uint64_t node;
    const void *body;
    uint32_t body_len;
    const char *name, *name2;
    const void *data;
    uint32_t data_len;
    void *out;
    uint32_t out_max;
    uint32_t uid, gid;
};
int64_t driver_call(struct driver *d, const struct driver_call *c);
/* Node of a child, or -errno; attributes in *out unless NULL. */
int64_t driver_look(struct driver *d, uint64_t dir, const char *name, struct fuse_entry_out *out);
/* A handle, or -errno. */
int64_t driver_open(struct driver *d, uint64_t node, uint32_t flags);

#endif
