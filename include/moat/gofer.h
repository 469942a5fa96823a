/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What starts a Gofer, and the shared-memory channel between Sentry and Gofer.  Messages are those
 * of linux/fuse.h; this header says how they travel, and adds two of our own.
 *
 * The memfd holds MOAT_GOFER_SLOTS slots.  A thread of the Sentry owns one slot: it writes a
 * request (fuse_in_header and body) at the start of the slot's area, hands over, and finds the
 * reply (fuse_out_header and body) in its place.  Only one side touches a slot at a time; each side
 * copies what it uses once and validates it, as the other may be taken over.
 *
 * Hand-over: MOAT_GOFER_CALL_NR(slot, request length) made by the Sentry with these arguments
 * returns USER_NOTIF to the Gofer, which answers with the reply's length (0: the request has no
 * reply).  Before it answers, the Gofer may send one descriptor over the set-up socket, in a record
 * of struct moat_gofer_passed; the reply's struct moat_gofer_donation then says so.
 *
 * Set-up socket (SOCK_SEQPACKET): the Sentry sends struct moat_gofer_hello with its listener as
 * SCM_RIGHTS.  Without a listener the socket itself carries the hand-over: the Sentry sends struct
 * moat_gofer_turn, the Gofer answers with one; one call at a time.
 */
#ifndef MOAT_ABI_GOFER_H
#define MOAT_ABI_GOFER_H

#include <stdint.h>

#define MOAT_GOFER_MAGIC     0x474f4645u
#define MOAT_GOFER_VERSION   3u
#define MOAT_GOFER_SLOTS     66u /* 64 vCPUs and two for helpers */
#define MOAT_GOFER_SLOT_SIZE (136u * 1024u)
#define MOAT_GOFER_MSG_MAX   (132u * 1024u)
/* Bytes of the memfd that the launcher makes. */
#define MOAT_GOFER_SHM_SIZE (MOAT_GOFER_SLOTS * MOAT_GOFER_SLOT_SIZE)
/* A number no kernel implements: only the filter sees it. */
#define MOAT_GOFER_CALL_NR 0x4d4701

/* ---- what the launcher hands moat-gofer: a memfd with this, its number in argv[1] (decimal) ----
 */

#define MOAT_GOFER_EXPORTS_MAX 64u   /* at start */
#define MOAT_GOFER_EXPORTS_ALL 1024u /* with those that are added later: indexes are below it */

#define MOAT_GOFER_EXPORT_RO 1u /* nothing below can be changed */
#define MOAT_GOFER_EXPORT_ONE_FS                                                                   \
    2u /* mounts below are not entered: their directories are empty                                \
        */

/* dir_fd is the root of a mount that the launcher made for us (nodev, nosuid, private) already. */
#define MOAT_GOFER_EXPORT_OWN 4u

struct moat_gofer_export {
    int32_t dir_fd; /* O_PATH descriptor of the exported directory or regular file; -1: an empty
                       directory */
    uint32_t flags; /* MOAT_GOFER_EXPORT_* */
};

/*
 * Whom it serves.  VHOST: the kernel of a virtual machine, as the back end of a virtio-fs device
 * (docs/interop/vhost-user.rst of QEMU): socket_fd is a connected SOCK_STREAM to the hypervisor,
 * there is no shm_fd, and what the machine mounts is a folder in which export N is called N.
 */
enum { MOAT_GOFER_CHANNEL = 0, MOAT_GOFER_VHOST = 1 };

/* The Gofer serves until its client is gone; it keeps the parent-death signal that its launcher
 * set. */
struct moat_gofer_config {
    uint32_t magic;
    uint32_t version;
    uint32_t size;     /* of this struct */
    int32_t socket_fd; /* the Gofer's end of the set-up socket */
    int32_t shm_fd;    /* the slots: MOAT_GOFER_SHM_SIZE bytes */
    int32_t admin_fd;  /* SOCK_SEQPACKET from the launcher: struct moat_gofer_change; -1: no exports
                          are added later */
    uint32_t export_count;
    uint32_t client; /* MOAT_GOFER_CHANNEL, MOAT_GOFER_VHOST */
    struct moat_gofer_export exports[MOAT_GOFER_EXPORTS_MAX];
};

/* ---- exports that come and go ---- */

/*
 * Containers that join a sandbox bring exports of their own.  One Gofer serves them all, as a chain
 * of seccomp filters, the Sentry's, can have one listener only.  The launcher sends what to add
 * before it tells the Sentry of it; it never goes through the Sentry.
 */
enum { MOAT_GOFER_ADD = 1, MOAT_GOFER_REMOVE = 2 };
struct moat_gofer_change {
    uint32_t magic; /* MOAT_GOFER_MAGIC */
    uint32_t what;
    uint32_t index; /* below MOAT_GOFER_EXPORTS_ALL */
    uint32_t count; /* REMOVE: of indexes.  ADD: 1, with one descriptor (a directory) or two (a
                       regular file: O_PATH and opened) */
    uint32_t flags; /* ADD: MOAT_GOFER_EXPORT_* */
    uint32_t file_writable; /* ADD of a file: it is opened for writing too */
};

/* ---- the set-up socket ---- */

struct moat_gofer_hello {
    uint32_t magic;
    uint32_t version;
    uint32_t has_listener;
    uint32_t pad;
};

struct moat_gofer_turn {
    uint32_t slot;
    uint32_t len; /* of the request, or of the reply */
};

/* Comes with exactly one descriptor. */
struct moat_gofer_passed {
    uint32_t magic; /* MOAT_GOFER_MAGIC */
    uint32_t slot;
    uint64_t unique; /* of the request it answers */
};

/* ---- FUSE as spoken here ---- */

/* Node ids: export i's root is MOAT_GOFER_ROOT(i); FUSE_ROOT_ID (1) is export 0's. */
#define MOAT_GOFER_ROOT(i) ((uint64_t)(i) + 1)

/* In fuse_open_in.open_flags and fuse_create_in.open_flags: send the opened file as a descriptor
 * and keep no handle. The reply's fh is then 0 and needs no RELEASE, and struct moat_gofer_donation
 * follows the fuse_open_out. */
#define MOAT_GOFER_OPEN_DONATE (1u << 31)

#define MOAT_GOFER_DONATED  1u /* a descriptor was sent over the socket before this reply */
#define MOAT_GOFER_WRITABLE 2u /* it is open for writing too */
struct moat_gofer_donation {
    uint32_t flags;
    uint32_t pad;
    uint64_t size; /* of the file now */
};

/*
 * MOAT_FUSE_LIST: directory entries without a handle and without "." and "..".  The reply is struct
 * moat_gofer_list_out and then `count` records of struct fuse_direntplus.  Entries whose attributes
 * were not asked for have nodeid 0 and only ino and mode's type; the others count as one LOOKUP
 * each.
 */
#define MOAT_FUSE_LIST 0x4d01u
enum {
    MOAT_GOFER_LIST_NAMES = 0, /* attributes of none */
    MOAT_GOFER_LIST_DIRS = 1,  /* of directories */
    MOAT_GOFER_LIST_ALL = 2,
};
struct moat_gofer_list_in {
    uint64_t offset; /* 0, or `next` of the reply before */
    uint32_t size;   /* most bytes of records */
    uint32_t what;   /* MOAT_GOFER_LIST_* */
};
struct moat_gofer_list_out {
    uint64_t next;
    uint32_t count;
    uint32_t eof; /* nothing follows */
};

#endif
