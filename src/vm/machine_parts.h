/* SPDX-License-Identifier: Apache-2.0 */
/* A machine while it is started: what machine.c and template_make.c share. */
#ifndef MOAT_VM_MACHINE_PARTS_H
#define MOAT_VM_MACHINE_PARTS_H

#include "vm/disk.h"
#include "vm/files.h"
#include "vm/hypervisor.h"
#include "vm/image.h"
#include "vm/machine.h"
#include "vm/operator.h"
#include "vm/share.h"
#include "vm/vsock.h"

struct machine {
    const struct container *c;
    const struct sandbox_options *options;
    const struct hypervisor_ops *hypervisor;
    struct hypervisor_config config;
    struct share share;
    struct disk disk;
    struct vsock vsock;
    struct operation operation;
    struct files files;
    enum image_agent agent_kind;
    int kernel, initramfs;
    int image_lock; /* stays open in the monitor, which lives as long as the machine */
    int control[2]; /* ours, the bridge's */
    int agent[2];   /* the bridge's, the hypervisor's */
    int console[2]; /* likewise; -1 where nobody reads it */
    int network[2]; /* ours, the hypervisor's, which waits for its devices there; or -1 */
    int admin[2];   /* ours, the keeper's; -1 without a pod */
    int status;     /* where the bridge and its children report */
    uid_t user;
    uint64_t start_cycles;
    long long start_ns;
    uint64_t started; /* the whole, by CLOCK_MONOTONIC */
};

/* As many pieces as machine_close closes. */
#define MACHINE_NONE                                                                               \
    .config = {.agent_fd = -1,                                                                     \
               .files_fd = -1,                                                                     \
               .vsock_fd = -1,                                                                     \
               .disk_fd = -1,                                                                      \
               .console_fd = -1,                                                                   \
               .control_fd = -1},                                                                  \
    .files = {.program = -1, .socket = -1}, .kernel = -1, .initramfs = -1, .image_lock = -1,       \
    .disk = {.fd = -1}, .vsock = {.device = -1, .listener = -1}, .control = {-1, -1},              \
    .agent = {-1, -1}, .console = {-1, -1}, .network = {-1, -1}, .admin = {-1, -1}

/* How large it is to be, and whether with KVM: fills `config`. */
must_check int machine_size(struct machine *m, struct err *err);
/* The cycle counter's rate is measured from here on. */
void machine_rate_begin(struct machine *m);
/* Makes the bridge, which makes the others. */
must_check int machine_bridge(struct machine *m, pid_t *out_pid, struct err *err);
void machine_close(struct machine *m);
/* template_make.c: prepares for a template where the settings say so; what keeps it from that is
 * told in the log, and the machine boots. */
void machine_use_template(struct machine *m);

#endif
