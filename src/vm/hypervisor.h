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
/* Where the file system with its memory is, when that is a file. */
#define HYPERVISOR_RAM "/guest/ram"

/* Of a machine that devices are plugged into. */
#define HYPERVISOR_PORTS (MOAT_NET_LINKS_MAX + 2u)

enum hypervisor_mode {
    HYPERVISOR_BOOT,
    HYPERVISOR_SAVE,    /* boots, to become a template */
    HYPERVISOR_RESTORE, /* waits for a template's state; devices are plugged in afterwards */
};

struct hypervisor_config {
    bool kvm; /* else emulated */
    uint32_t cpus;
    uint64_t memory; /* bytes */
    int agent_fd;    /* stream socket: the agent's serial port; with vsock it is kept open alone */
    int vsock_fd;    /* vhost-vsock device in its place, or -1 */
    uint32_t cid;    /* of that */
    int files_fd;    /* connected to a vhost-user file server, or -1 */
    int disk_fd;     /* the root's image, opened for reading, or -1 */
    int nic_fds[MOAT_NET_LINKS_MAX]; /* tap devices with struct virtio_net_hdr */
    uint32_t nic_count;
    enum hypervisor_mode mode;
    int control_fd;   /* other modes than BOOT: stream socket, for the operations below */
    bool network;     /* RESTORE: there may be interfaces */
    int console_fd;   /* stream socket: the guest's console, or -1 */
    uint64_t tsc_khz; /* of this machine's cycle counter; used without KVM */
};

struct hypervisor_ops {
    const char *name;
    const char *program; /* absolute */
    /* The arguments, program first; 0 or -ENOMEM. */
    int (*arguments)(const struct hypervisor_config *config, struct strlist *out);
    /* Over the other end of control_fd.  A machine's state goes to state_fd, and it ends. */
    int (*save)(int control, int state_fd, struct err *err);
    /* The machine is as it was saved, with its devices, and stands still until `run`. */
    int (*restore)(int control, int state_fd, const struct hypervisor_config *config,
                   struct err *err);
    int (*run)(struct err *err);
    void (*quit)(int control);
};

extern const struct hypervisor_ops g_hypervisor_qemu;

/*
 * Does a guest's own kernel code run on this machine's processor?  False without /dev/kvm, and
 * where a loop of ring-0 instructions is interpreted: some clouds' /dev/kvm takes hundreds of
 * nanoseconds for each.  At most 100 ms.  *out_why says what was found.
 */
bool kvm_is_useful(const char **out_why);

#endif
