/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Gofer as the back end of a virtio-fs device: FUSE requests of a virtual machine's kernel come
 * in virtqueues (virtio 1.2, section 5.11) that a hypervisor shows over vhost-user.
 *
 * Trust: the machine's kernel is hostile, and the hypervisor may have been taken over by it.
 */
#ifndef MOAT_GOFER_VHOST_H
#define MOAT_GOFER_VHOST_H

#include "gofer.h"
#include "virtq.h"

/* The first queue is for what must not wait (FUSE_FORGET), the others are for requests. */
#define VHOST_QUEUES 4u

struct vhost_queue {
    struct virtq q;
    struct front_addr desc, avail, used;
    bool placed; /* the front end has said where the rings are */
};

struct vhost {
    struct gofer *g;
    struct guest_mem mem;
    struct vhost_queue queues[VHOST_QUEUES];
    bool reply_ack; /* the front end asks for answers to messages that have none */
};

/* Serves the hypervisor at g->socket_fd until it is gone (0), or -errno. */
must_check int vhost_run(struct gofer *g);
/* Takes one message (vhost_msg.c): 0, 1 at the end of the connection, -errno. */
must_check int vhost_message(struct vhost *v);
/* Serves one request (vhost_fuse.c); the bytes written for it. */
uint32_t vhost_serve(struct gofer *g, const struct virtq_chain *c);

#endif
