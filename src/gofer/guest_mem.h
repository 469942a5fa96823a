/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine's memory as the front end shows it: regions of shared files, mapped here.
 *
 * Trust: the table is the front end's word, addresses are the guest's; what lies in the memory
 * changes at any time.  A front end that takes memory away that it has shown ends the Gofer, and
 * with it its machine (SIGBUS).
 */
#ifndef MOAT_GOFER_GUEST_MEM_H
#define MOAT_GOFER_GUEST_MEM_H

#include "vhost_user.h"

#include <sys/uio.h>

/* A guest's physical address, and an address in the front end. */
struct guest_phys {
    uint64_t v;
};
struct front_addr {
    uint64_t v;
};

struct guest_region {
    uint64_t guest_phys, front_addr, size;
    uint8_t *host; /* of its first byte */
    void *mapping;
    size_t mapping_len;
};

struct guest_mem {
    struct guest_region regions[VHOST_USER_REGIONS];
    uint32_t count;
};

/*
 * Maps the regions of `table`, one descriptor each, in place of what was mapped; the descriptors
 * stay the caller's.  -EINVAL for a table that makes no sense; then nothing is mapped.
 */
must_check int guest_mem_set(struct guest_mem *m, const struct vhost_user_memory *table,
                             const int *fds, uint32_t fd_count);
void guest_mem_clear(struct guest_mem *m);
/* `len` bytes at an address, all in one region; else NULL. */
void *guest_mem_at(const struct guest_mem *m, struct guest_phys at, uint64_t len);
void *guest_mem_at_front(const struct guest_mem *m, struct front_addr at, uint64_t len);
/* Likewise across neighbouring regions: appends to iov, which has `room` places left.  Places used,
 * or -EFAULT, -E2BIG. */
must_check int guest_mem_iov(const struct guest_mem *m, struct guest_phys at, uint32_t len,
                             struct iovec *iov, uint32_t room);

#endif
