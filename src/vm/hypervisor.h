/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hypervisor is to the rest: a program, and the arguments that make it start one machine.
 * Everything it may use is on descriptors, or in the small root that machine.c makes for it.
 */
#ifndef MOAT_VM_HYPERVISOR_H
#define MOAT_VM_HYPERVISOR_H

#include "host/err.h"
#include "host/strlist.h"
#include "moat/network.h"

/* Where the image's files are in the hypervisor's root. */
#define HYPERVISOR_KERNEL    "/guest/kernel"
#define HYPERVISOR_INITRAMFS "/guest/initramfs"

struct hypervisor_config {
    bool kvm; /* else emulated */
    uint32_t cpus;
    uint64_t memory;                 /* bytes */
    int agent_fd;                    /* stream socket: the agent's serial port */
    int files_fd;                    /* connected to a vhost-user file server, or -1 */
    int disk_fd;                     /* the root's image, opened for reading, or -1 */
    int nic_fds[MOAT_NET_LINKS_MAX]; /* tap devices with struct virtio_net_hdr */
    uint32_t nic_count;
    int console_fd;   /* where the guest kernel's messages go, or -1 */
    uint64_t tsc_khz; /* of this machine's cycle counter; used without KVM */
};

struct hypervisor_ops {
    const char *name;
    const char *program; /* absolute */
    /* The arguments, program first; 0 or -ENOMEM. */
    int (*arguments)(const struct hypervisor_config *config, struct strlist *out);
};

extern const struct hypervisor_ops g_hypervisor_qemu;

/*
 * Does a guest's own kernel code run on this machine's processor?  False without /dev/kvm, and
 * where a loop of ring-0 instructions is interpreted: some clouds' /dev/kvm takes hundreds of
 * nanoseconds for each.  At most 100 ms.  *out_why says what was found.
 */
bool kvm_is_useful(const char **out_why);

#endif
