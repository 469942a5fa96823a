/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host and the agent (PID 1 of a virtual machine) say to each other: frames over one byte
 * stream, a virtio-serial port or a vsock connection, which the agent makes to the port of its own
 * context id.  Little endian; fixed-width.
 *
 * Control messages (moat/control.h) travel as RECORD frames.  Descriptors cannot: instead the
 * three standard streams of a process made by CREATE or EXEC are numbered, and their bytes travel
 * as DATA frames.  A sender may have at most MOAT_AGENT_WINDOW bytes of a stream under way that
 * the receiver has not granted anew with CREDIT; a receiver ends the connection when more comes.
 */
#ifndef MOAT_ABI_AGENT_H
#define MOAT_ABI_AGENT_H

#include "moat/control.h"

#define MOAT_AGENT_VERSION    4u
#define MOAT_AGENT_PORT       "moat.agent" /* name of the virtio-serial port */
#define MOAT_AGENT_TAG        "moat"       /* virtio-fs: folder N is export N, 0 the root */
#define MOAT_AGENT_EXPORTS    64u
#define MOAT_AGENT_EXPORT_DIR "/exports" /* where the agent mounts that */

#define MOAT_AGENT_STREAMS   768u /* stream 3 n + k: descriptor k of process n */
#define MOAT_AGENT_WINDOW    (256u * 1024u)
#define MOAT_AGENT_DATA_MAX  (32u * 1024u)
#define MOAT_AGENT_FRAME_MAX MOAT_CTL_MSG_MAX /* of the payload */

enum moat_agent_kind {
    MOAT_AGENT_WELCOME = 1, /* to the agent, first: struct moat_agent_welcome; later: its clock
                               and seed count */
    MOAT_AGENT_HELLO = 2,   /* from the agent: struct moat_agent_hello */
    MOAT_AGENT_RECORD = 3,  /* a record of moat/control.h, but for CREATE and EXEC, which are
                               struct moat_agent_create; `stream` of those: the first of the
                               process's three */
    MOAT_AGENT_DATA = 4,    /* 1 ... MOAT_AGENT_DATA_MAX bytes of the stream */
    MOAT_AGENT_END = 5,     /* the stream has ended (sender), or nobody reads it (receiver) */
    MOAT_AGENT_CREDIT = 6,  /* uint32_t: so many bytes more */
};

struct moat_agent_frame {
    uint32_t size; /* of the payload behind it */
    uint16_t kind;
    uint16_t stream;
};

/* The container's root is a disk, MOAT_AGENT_DISK, mounted where export 0 would be. */
enum { MOAT_AGENT_DISK_NONE = 0, MOAT_AGENT_DISK_EROFS = 1, MOAT_AGENT_DISK_EXT4 = 2 };
#define MOAT_AGENT_DISK "/dev/vda"

/* CREATE and EXEC as the agent gets them: behind it the container, or the process, as
 * src/oci/carry.h writes it.  Files are those of the exports: the container's root is /exports/N.
 */
struct moat_agent_create {
    struct moat_ctl_ref ref;
    char share[128];      /* id of another container of this machine, or empty */
    uint32_t share_flags; /* MOAT_SHARE_* */
    uint32_t flags;       /* MOAT_PROC_TERMINAL */
};

/* The machine was restored from a template: its devices are to be looked for, and HELLO is said
 * anew. */
#define MOAT_AGENT_RESTORED    1u
#define MOAT_AGENT_PLUGGED_ANY UINT32_MAX
#define MOAT_AGENT_ENTROPY     64u
/* In the list of the initramfs's modules, where else a kind of virtio device stands: for machines
 * with a PCI bus, which devices may be plugged into later. */
#define MOAT_AGENT_MODULE_PCI 63u

struct moat_agent_welcome {
    uint32_t version;
    uint32_t export_count;
    uint64_t realtime_ns; /* the host's clock */
    uint32_t disk;        /* MOAT_AGENT_DISK_*: what the root's block device holds */
    uint32_t flags;       /* MOAT_AGENT_RESTORED */
    uint8_t entropy[MOAT_AGENT_ENTROPY];
    uint32_t plugged; /* RESTORED: so many PCI ports, from the first on, have a device; or ANY */
    uint32_t pad;
};

struct moat_agent_hello {
    uint32_t version;
    uint32_t pad;
    uint64_t boot_ns;  /* the guest's monotonic clock when the agent began */
    uint64_t ready_ns; /* and when it was ready for requests */
};

/* The reply to STATS: numbers of the container's control group (cgroup-v2.rst). */
struct moat_agent_stats {
    struct moat_ctl_stats base;
    uint64_t cpu_user_ns, cpu_system_ns;
    uint64_t cpu_periods, cpu_throttled, cpu_throttled_ns;
    uint64_t memory_limit, memory_peak; /* UINT64_MAX: none */
    uint64_t memory_limit_hits, oom_kills;
    uint64_t anon, file, kernel, swap, page_faults, major_faults;
};

_Static_assert(sizeof(struct moat_agent_stats) == sizeof(struct moat_ctl_stats) + 120, "");
_Static_assert(sizeof(struct moat_agent_frame) == 8, "frames are packed by hand");
_Static_assert(sizeof(struct moat_agent_create) == sizeof(struct moat_ctl_ref) + 136, "");
_Static_assert(sizeof(struct moat_agent_welcome) == 96, "");
_Static_assert(sizeof(struct moat_agent_hello) == 24, "");

#endif
