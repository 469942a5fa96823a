/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host side hands the Sentry's host part at start: a memfd with this struct, descriptor
 * number in argv[1]. Both sides are ours; version and size are checked all the same.
 */
#ifndef MOAT_ABI_BOOT_H
#define MOAT_ABI_BOOT_H

#include <stdint.h>

#define MOAT_BOOT_MAGIC   0x544f4f42544f414dull /* "MOATBOOT" */
#define MOAT_BOOT_VERSION 1u

#define MOAT_BOOT_STRACE   1u
#define MOAT_BOOT_DEBUG    2u
#define MOAT_BOOT_LOG_JSON 4u
#define MOAT_BOOT_PROBE    8u /* only choose the hand-over, write it to log_fd, and end */

enum {
    MOAT_HANDOVER_AUTO = 0,
    MOAT_HANDOVER_NOTIFY = 1,
    MOAT_HANDOVER_TRAP = 2,
    MOAT_HANDOVER_POST = 3, /* notify, and every call site is rewritten to post as soon as it can */
};

struct moat_boot {
    uint64_t magic;
    uint32_t version;
    uint32_t size; /* of this struct */
    uint32_t flags;
    uint32_t vcpu_count;   /* 0: one for each CPU of the host affinity mask, at least 2 */
    uint32_t handover;     /* MOAT_HANDOVER_* */
    int32_t control_fd;    /* SOCK_SEQPACKET: messages of control.h */
    int32_t gofer_fd;      /* SOCK_SEQPACKET to the Gofer: set-up and descriptor passing, or -1 */
    int32_t gofer_shm_fd;  /* memfd of the FUSE channel, or -1 */
    int32_t memory_dir_fd; /* an open directory of a private tmpfs (huge=always) to make the memory
                              file in, or -1 */
    int32_t log_fd;        /* -1: no log */
    uint64_t memory_limit; /* bytes, 0: none */
    char hostname[65];
    char pad[7];
};

#endif
