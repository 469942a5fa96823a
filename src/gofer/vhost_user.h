/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user protocol as far as a virtio-fs device needs it: messages of the front end (the
 * hypervisor) over a stream socket.  Source: QEMU, docs/interop/vhost-user.rst.
 */
#ifndef MOAT_GOFER_VHOST_USER_H
#define MOAT_GOFER_VHOST_USER_H

#include "base/types.h"

#define VHOST_USER_VERSION      1u
#define VHOST_USER_VERSION_MASK 3u
#define VHOST_USER_REPLY        (1u << 2)
#define VHOST_USER_NEED_REPLY   (1u << 3)

#define VHOST_USER_REGIONS 8u /* most in a SET_MEM_TABLE */
#define VHOST_USER_FDS     VHOST_USER_REGIONS

/* Feature bit, and bits of the protocol features. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30
#define VHOST_USER_PROTOCOL_MQ         0
#define VHOST_USER_PROTOCOL_REPLY_ACK  3

/* In the number that comes with a ring's descriptors. */
#define VHOST_USER_RING_MASK 0xffu
#define VHOST_USER_NO_FD     0x100u

struct vhost_user_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* of the payload behind it */
};

struct vhost_user_region {
    uint64_t guest_phys;
    uint64_t size;
    uint64_t front_addr; /* where the front end has it mapped */
    uint64_t mmap_offset;
};

struct vhost_user_memory {
    uint32_t count;
    uint32_t pad;
    struct vhost_user_region regions[VHOST_USER_REGIONS];
};

struct vhost_user_ring_state {
    uint32_t index;
    uint32_t value;
};

struct vhost_user_ring_addr {
    uint32_t index;
    uint32_t flags;
    uint64_t desc, used, avail; /* the front end's addresses */
    uint64_t log;
};

union vhost_user_payload {
    uint64_t number;
    struct vhost_user_ring_state state;
    struct vhost_user_ring_addr addr;
    struct vhost_user_memory memory;
};

_Static_assert(sizeof(struct vhost_user_header) == 12, "on the wire without padding");
_Static_assert(sizeof(struct vhost_user_region) == 32, "");
_Static_assert(sizeof(struct vhost_user_ring_addr) == 40, "");
_Static_assert(sizeof(union vhost_user_payload) == 8 + 32 * VHOST_USER_REGIONS, "");

#endif
