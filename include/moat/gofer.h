/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared-memory channel between Sentry and Gofer.  Messages are those of linux/fuse.h; this header
 * says how they travel.
 *
 * The memfd holds MOAT_GOFER_SLOTS slots.  The Sentry's vCPU k owns slot k: it writes a request (fuse_in_header and body) at
 * the start of the slot's area, hands over, and finds the reply (fuse_out_header and body) in its place.  Only one side touches a
 * slot at a time; each side copies what it uses once and validates it, as the other may be taken over.
 *
 * Hand-over: MOAT_GOFER_CALL_NR(slot, request length) made by the Sentry with these arguments returns USER_NOTIF to the Gofer,
 * which answers with the reply's length.  Before it answers, the Gofer may send one descriptor over the set-up socket; the
 * reply then has FUSE_OPEN's or LOOKUP's body followed by struct moat_gofer_donation.
 *
 * Set-up socket (SOCK_SEQPACKET): the Sentry sends struct moat_gofer_hello with its listener as SCM_RIGHTS (or none: then the
 * socket itself carries the hand-over: {slot, length} records of two uint32_t in both directions).
 */
#ifndef MOAT_ABI_GOFER_H
#define MOAT_ABI_GOFER_H

#include <stdint.h>

#define MOAT_GOFER_MAGIC 0x474f4645u
#define MOAT_GOFER_VERSION 1u
#define MOAT_GOFER_SLOTS 66u /* 64 vCPUs and two for helpers */
#define MOAT_GOFER_SLOT_SIZE (136u * 1024u)
#define MOAT_GOFER_MSG_MAX (132u * 1024u)
/* A number no kernel implements: only the filter sees it. */
#define MOAT_GOFER_CALL_NR 0x4d4701

struct moat_gofer_hello {
    uint32_t magic;
    uint32_t version;
    uint32_t has_listener;
    uint32_t pad;
};

/* Node ids: export i's root is MOAT_GOFER_ROOT(i); FUSE_ROOT_ID (1) is export 0's. */
#define MOAT_GOFER_EXPORTS_MAX 64u
#define MOAT_GOFER_ROOT(i) ((uint64_t)(i) + 1)

/* Follows an OPEN reply's fuse_open_out. */
#define MOAT_GOFER_DONATED 1u   /* a descriptor was sent over the socket before this reply */
struct moat_gofer_donation {
    uint32_t flags;
    uint32_t pad;
    uint64_t size; /* of the file now */
};

/*
 * What the host side hands the Gofer at start: a memfd with this struct, descriptor number in argv[1] (decimal).
 * The Gofer serves until the socket's other end is gone.
 */
#define MOAT_GOFER_EXPORT_RO 1u

struct moat_gofer_export {
    int32_t dir_fd; /* O_PATH descriptor of the exported directory or regular file */
    uint32_t flags; /* MOAT_GOFER_EXPORT_* */
};

struct moat_gofer_config {
    uint32_t magic;
    uint32_t version;
    uint32_t size; /* of this struct */
    int32_t socket_fd;
    int32_t shm_fd;
    uint32_t export_count;
    struct moat_gofer_export exports[MOAT_GOFER_EXPORTS_MAX];
};

#endif
