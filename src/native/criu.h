/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to CRIU: `criu swrk FD` is started for it, and spoken to in the messages of its
 * rpc.proto (criu.org, "RPC") over a socket of records.
 *
 * CRIU runs with moat's rights and is trusted as far; what it sends is checked nevertheless, as it
 * is about processes and files that the container made.
 */
#ifndef MOAT_NATIVE_CRIU_H
#define MOAT_NATIVE_CRIU_H

#include "host/err.h"
#include "host/protobuf.h"

#include <sys/types.h>

/* rpc.proto, enum criu_req_type. */
enum criu_request_type { CRIU_DUMP = 1, CRIU_RESTORE = 2, CRIU_PRE_DUMP = 4, CRIU_NOTIFY = 6 };

/* rpc.proto, message criu_opts: the numbers of the fields in use. */
enum criu_option {
    CRIU_IMAGES_DIR_FD = 1,
    CRIU_PID = 2,
    CRIU_LEAVE_RUNNING = 3,
    CRIU_EXT_UNIX_SK = 4,
    CRIU_TCP_ESTABLISHED = 5,
    CRIU_EVASIVE_DEVICES = 6,
    CRIU_SHELL_JOB = 7,
    CRIU_FILE_LOCKS = 8,
    CRIU_LOG_LEVEL = 9,
    CRIU_LOG_FILE = 10,
    CRIU_PAGE_SERVER = 11, /* address = 1, port = 2 */
    CRIU_NOTIFY_SCRIPTS = 12,
    CRIU_ROOT = 13,
    CRIU_PARENT_IMAGE = 14,
    CRIU_TRACK_MEMORY = 15,
    CRIU_AUTO_DEDUP = 16,
    CRIU_WORK_DIR_FD = 17,
    CRIU_EXTERNAL_MOUNT = 23, /* key = 1, value = 2 */
    CRIU_MANAGE_CGROUPS = 24,
    CRIU_CGROUP_ROOT = 25, /* controller = 1, path = 2 */
    CRIU_RESTORE_SIBLING = 26,
    CRIU_INHERIT_FD = 27, /* key = 1, fd = 2 */
    CRIU_CGROUPS_MODE = 34,
    CRIU_EXTERNAL = 37,
    CRIU_EMPTY_NAMESPACES = 38,
    CRIU_FREEZE_CGROUP = 44,
    CRIU_LAZY_PAGES = 48,
    CRIU_STATUS_FD = 49,
    CRIU_ORPHAN_PTS_MASTER = 50,
    CRIU_LSM_PROFILE = 53,
    CRIU_LSM_MOUNT_CONTEXT = 63,
};

/* Numbers of descriptors in CRIU.  Its own output is kept for messages. */
#define CRIU_STREAM(n)  (4 + (n)) /* the caller's standard streams, for a restored process */
#define CRIU_PASSED(n)  (7 + (n))
#define CRIU_PASSED_MAX 2
#define CRIU_IMAGES     9
#define CRIU_WORK       10
#define CRIU_STATUS     11

struct criu {
    int sock;
    int output; /* what it prints before there is a log */
    pid_t pid;
};

struct criu_start {
    const char *program; /* looked up on the PATH; NULL: criu */
    const char *root;    /* restore: folder to be made a mount in a mount namespace of its own */
    const char *images, *work; /* folders that become CRIU_IMAGES and, unless NULL, CRIU_WORK */
    bool no_new_privs;         /* set on CRIU, and so on all that it restores */
    int status;                /* becomes CRIU_STATUS; -1: none */
    int pass[CRIU_PASSED_MAX]; /* descriptors that become CRIU_PASSED(n); -1: none */
};

/* Called for each notification (criu(8), "action scripts"): its name, the pid of the process it is
 * about or 0, and a descriptor that came with it or -1, which stays the caller's.  A failure ends
 * the request. */
typedef int criu_notify_fn(void *arg, const char *event, pid_t pid, int fd, struct err *err);

/* Starts it; the caller ends it, after an error too. */
must_check int criu_begin(struct criu *criu, const struct criu_start *how, struct err *err);
/* *out_pid is that of a restored process, a child of the caller, also after a failure.  `log` is
 * the file that CRIU writes, for the message of a failure. */
must_check int criu_request(struct criu *criu, enum criu_request_type type,
                            const struct protobuf_out *options, criu_notify_fn *notify, void *arg,
                            const char *log, pid_t *out_pid, struct err *err);
void criu_end(struct criu *criu);

#endif
