/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control protocol (design section 3): between the host side (CLI, monitor, shim) and what
 * holds the containers (Sentry, or the agent in a virtual machine).  One message a SOCK_SEQPACKET
 * record; little endian; fixed-width.
 *
 * A request has a non-zero id and is answered by exactly one MOAT_CTL_REPLY with that id; events
 * have id 0. Descriptors travel with the record as SCM_RIGHTS, in the order the message says.
 * Strings live in a table behind the fixed part: a string is (off, len) into it, NUL-terminated,
 * off < table length.
 */
#ifndef MOAT_ABI_CONTROL_H
#define MOAT_ABI_CONTROL_H

#include <stdint.h>

#define MOAT_CTL_MAGIC   0x4d434f54u
#define MOAT_CTL_VERSION 3u
#define MOAT_CTL_MSG_MAX (192u * 1024u)
#define MOAT_CTL_FDS_MAX 8u

/* Most elements of the arrays of CREATE and EXEC. */
#define MOAT_CTL_MOUNTS_MAX  256u
#define MOAT_CTL_RLIMITS_MAX 64u
#define MOAT_CTL_GROUPS_MAX  65536u
#define MOAT_CTL_PATHS_MAX   512u /* masked, read-only */
#define MOAT_CTL_SYSCTLS_MAX 256u
#define MOAT_CTL_DEVICES_MAX 256u

enum moat_ctl_type {
    MOAT_CTL_REPLY = 1,    /* struct moat_ctl_reply */
    MOAT_CTL_CREATE = 2,   /* struct moat_ctl_create: container with its init process, not started;
                              fds: stdio 3, and   what becomes 3, 4, ... inside */
    MOAT_CTL_START = 3,    /* struct moat_ctl_ref */
    MOAT_CTL_EXEC = 4,     /* struct moat_ctl_create with only the process part; fds: likewise */
    MOAT_CTL_SIGNAL = 5,   /* struct moat_ctl_signal */
    MOAT_CTL_WINSIZE = 6,  /* struct moat_ctl_winsize */
    MOAT_CTL_PS = 7,       /* struct moat_ctl_ref; the reply's data: struct moat_ctl_ps_entry [] */
    MOAT_CTL_DELETE = 8,   /* struct moat_ctl_ref: forget a stopped container */
    MOAT_CTL_SHUTDOWN = 9, /* end the sandbox */
    MOAT_CTL_STATS = 10,   /* reply's data: struct moat_ctl_stats */
    MOAT_CTL_PAUSE = 11,
    MOAT_CTL_RESUME = 12,
    MOAT_CTL_UPDATE = 13,  /* struct moat_ctl_update: new limits */
    MOAT_CTL_DESTROY = 14, /* struct moat_ctl_ref: kill, wait for the end, forget */
    MOAT_CTL_NETWORK = 24, /* to an agent: struct moat_ctl_network (moat/network.h) */
    /* To the monitor of a sandbox alone, by the monitor of a container that joins it; they never
     * reach the Sentry. */
    MOAT_CTL_JOIN = 32,   /* struct moat_ctl_join; the reply's pid: the first of its exports */
    MOAT_CTL_EXPORT = 33, /* struct moat_ctl_export; fds: directory or file, and the file opened */
    MOAT_CTL_EVENT_OOM = 65,  /* struct moat_ctl_oom: processes were killed for want of memory */
    MOAT_CTL_EVENT_EXIT = 64, /* struct moat_ctl_exit: a process made by CREATE or EXEC is gone */
};

struct moat_ctl_header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t size; /* whole record */
    uint32_t id;
};

struct moat_ctl_str {
    uint32_t off;
    uint32_t len; /* without the NUL */
};

/* How the container's root is put together. */
enum { MOAT_OVERLAY_MEMORY = 0, MOAT_OVERLAY_NONE = 1 };

#define MOAT_MOUNT_RDONLY    1u
#define MOAT_MOUNT_NOSUID    2u
#define MOAT_MOUNT_NODEV     4u
#define MOAT_MOUNT_NOEXEC    8u
#define MOAT_MOUNT_NOATIME   1024u
#define MOAT_MOUNT_TMPCOPYUP 0x40000000u /* tmpfs begins with what it hides */

enum {
    MOAT_MOUNT_BIND = 1 /* export `export_index` of the Gofer */,
    MOAT_MOUNT_TYPED = 2 /* fstype in the Sentry */
};

struct moat_ctl_mount {
    uint32_t kind;
    uint32_t flags;
    uint32_t export_index;
    uint32_t pad;
    struct moat_ctl_str target, fstype, source, options;
};

/* A device node; types and numbers are those of mknod(2). */
struct moat_ctl_device {
    uint32_t mode; /* S_IFCHR, S_IFBLK or S_IFIFO, and permissions */
    uint32_t major, minor;
    uint32_t uid, gid;
    struct moat_ctl_str path;
    uint32_t pad;
};

struct moat_ctl_sysctl {
    struct moat_ctl_str name, value; /* "net.core.somaxconn" */
};

struct moat_ctl_rlimit {
    uint32_t resource; /* RLIMIT_* */
    uint32_t pad;
    uint64_t cur, max;
};

#define MOAT_PROC_TERMINAL      1u /* stdio is a pty inside, pumped to and from fds[0] and fds[1] */
#define MOAT_PROC_NO_NEW_PRIVS  2u
#define MOAT_PROC_READONLY_ROOT 4u
#define MOAT_PROC_OOM_SCORE     16u /* oom_score_adj counts */
#define MOAT_PROC_SCHEDULER     32u /* sched_policy, sched_priority and nice count */
#define MOAT_PROC_IOPRIO        64u
#define MOAT_PROC_PERSONALITY   128u

/* What a container has in common with the one that `share` names. */
#define MOAT_SHARE_PID 1u
#define MOAT_SHARE_IPC 2u
#define MOAT_SHARE_UTS 4u

/* Limits of a container that it can see; those of `set` count.  Threads are counted by the Sentry,
 * the others are kept by the host's control groups. */
#define MOAT_LIMIT_PIDS   1u
#define MOAT_LIMIT_MEMORY 2u
#define MOAT_LIMIT_CPU    4u
struct moat_ctl_limits {
    uint32_t set; /* MOAT_LIMIT_* */
    uint32_t pad;
    uint64_t pids, memory;                /* threads, bytes; 0: none */
    uint64_t cpu_quota_us, cpu_period_us; /* quota 0: none */
};

#define MOAT_SECCOMP_MAX 4096u /* instructions */
#define MOAT_SECCOMP_LOG 1u    /* SECCOMP_FILTER_FLAG_LOG */

/* CREATE and EXEC.  Behind it, in this order: argv strings, env strings (struct moat_ctl_str each),
 * groups (uint32_t, padded to 8 bytes), rlimits, mounts, masked paths, read-only paths, sysctls,
 * devices, the seccomp program (struct sock_filter, 8 bytes each), then the string table.  What
 * follows mounts is CREATE's alone; processes of EXEC get the container's seccomp program. */
struct moat_ctl_create {
    struct moat_ctl_header h;
    struct moat_ctl_str container; /* id */
    struct moat_ctl_str exec_id;   /* EXEC only */
    struct moat_ctl_str cwd;
    struct moat_ctl_str hostname;
    uint32_t argc, envc, group_count, rlimit_count, mount_count;
    uint32_t strings_off; /* of the table, from the start of the record */
    uint32_t flags;       /* MOAT_PROC_* */
    uint32_t overlay;     /* MOAT_OVERLAY_* */
    uint32_t root_export; /* export of the Gofer that is the root */
    uint32_t gofer_chan;  /* channel number */
    uint32_t uid, gid, umask_;
    uint16_t rows, cols; /* initial window size */
    uint64_t cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
    struct moat_ctl_str domainname;
    struct moat_ctl_str share; /* id of another container of this sandbox, or empty */
    uint32_t share_flags;      /* MOAT_SHARE_* */
    uint32_t masked_count, readonly_count, sysctl_count, device_count;
    uint32_t seccomp_count; /* instructions, 0: no program */
    uint32_t seccomp_flags; /* MOAT_SECCOMP_* */
    int32_t oom_score_adj;
    uint32_t sched_policy;
    int32_t sched_priority, nice;
    uint32_t ioprio; /* IOPRIO_PRIO_VALUE */
    uint32_t personality;
    uint32_t pad;
    struct moat_ctl_limits limits;
};

struct moat_ctl_ref {
    struct moat_ctl_header h;
    char container[128]; /* id, NUL-terminated */
    char exec_id[128];   /* empty: the init process */
};

struct moat_ctl_signal {
    struct moat_ctl_ref ref;
    uint32_t signo;
    uint32_t all; /* every process of the container */
};

struct moat_ctl_update {
    struct moat_ctl_ref ref;
    struct moat_ctl_limits limits;
};

/* The connection that sends it owns the container: its end destroys what CREATE made. */
struct moat_ctl_join {
    struct moat_ctl_ref ref;
    uint32_t export_count;
    uint32_t pad;
};

struct moat_ctl_export {
    struct moat_ctl_header h;
    uint32_t index;
    uint32_t flags; /* MOAT_GOFER_EXPORT_* */
    uint32_t file_writable;
    uint32_t pad;
};

struct moat_ctl_winsize {
    struct moat_ctl_ref ref;
    uint16_t rows, cols, xpixel, ypixel;
};

struct moat_ctl_reply {
    struct moat_ctl_header h;
    int32_t error;      /* 0 or -errno */
    int32_t pid;        /* CREATE, EXEC: pid inside */
    uint32_t data_size; /* bytes that follow */
    char message[196];  /* what failed, for people; may be empty */
};

struct moat_ctl_exit {
    struct moat_ctl_ref ref;
    int32_t pid;
    int32_t status; /* wait status */
};

struct moat_ctl_oom {
    struct moat_ctl_ref ref;
    uint32_t kills; /* since the last such event */
    uint32_t pad;
};

struct moat_ctl_ps_entry {
    int32_t pid, ppid;
    uint32_t uid;
    uint32_t pad;
    uint64_t start_ns, cpu_ns;
    char comm[16];
    char cmdline[232];
};

struct moat_ctl_stats {
    uint64_t memory_used, cpu_ns;
    uint32_t process_count, thread_count;
    uint64_t pids_limit; /* as in CREATE */
};

#endif
