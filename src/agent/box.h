/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container in the machine: what CREATE said of it, its control group, the folder of its start
 * socket.  Its processes are made by starters (starter.h).
 */
#ifndef MOAT_AGENT_BOX_H
#define MOAT_AGENT_BOX_H

#include "host/cgroup.h"
#include "host/err.h"
#include "oci/carry.h"
#include "oci/isolation.h"

struct box {
    struct carried carried;
    struct cgroup cgroup;
    int dir; /* for files of its own */
    char path[192];
    pid_t pid; /* of its first process, 0: none, or reaped */
    uint64_t pid_start;
    int oom;              /* readable when the kernel may have killed for want of memory; or -1 */
    uint64_t oom_kills;   /* told so far */
    int joined[NS_KINDS]; /* namespaces of another container, or -1 */
};

/* In a starter: the container whose profile seccomp_compile answers with. */
extern const struct carried *g_carried;

/* Reads the container and makes its control group; `id` must be free.  NULL with *err. */
struct box *box_make(const char *id, const void *bytes, size_t size, struct err *err);
/* Lets the container share namespaces (MOAT_SHARE_*) of another, whose first process lives. */
must_check int box_join(struct box *b, const struct box *other, uint32_t share_flags,
                        struct err *err);
/* Takes away what the guest's kernel does not know: profiles of the host's AppArmor. */
void box_drop_labels(struct container_process *p);
/* Notes the first process, a child of the caller. */
void box_note_process(struct box *b, pid_t pid);
/* How many processes the kernel killed for want of memory since the last call. */
uint32_t box_new_kills(struct box *b);
/* The box as the isolations' code knows a container; good for as long as the box is. */
struct isolation_target box_target(const struct box *b);
/* Removes the group, killing what is left in it, and the folder. */
void box_free(struct box *b);

#endif
