/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers and structures of the socket calls of Linux x86-64 that no kernel header exports:
 * socket(2), recv(2), unix(7), cmsg(3), <linux/socket.h> of the kernel's own tree.
 */
#ifndef MOAT_SENTRY_SOCKABI_H
#define MOAT_SENTRY_SOCKABI_H

#include "base/types.h"

enum {
    AF_UNSPEC = 0,
    AF_UNIX = 1,
    AF_INET = 2,
    AF_INET6 = 10,
    AF_NETLINK = 16,
    AF_PACKET = 17,
    AF_MAX = 46,
};

enum {
    SOCK_STREAM = 1,
    SOCK_DGRAM = 2,
    SOCK_RAW = 3,
    SOCK_SEQPACKET = 5,
    SOCK_TYPE_MAX = 11,
};
#define SOCK_TYPE_MASK 0xfu
#define SOCK_NONBLOCK  04000u
#define SOCK_CLOEXEC   02000000u

#define MSG_OOB          0x1u
#define MSG_PEEK         0x2u
#define MSG_DONTROUTE    0x4u
#define MSG_CTRUNC       0x8u
#define MSG_TRUNC        0x20u
#define MSG_DONTWAIT     0x40u
#define MSG_EOR          0x80u
#define MSG_WAITALL      0x100u
#define MSG_ERRQUEUE     0x2000u
#define MSG_NOSIGNAL     0x4000u
#define MSG_MORE         0x8000u
#define MSG_WAITFORONE   0x10000u
#define MSG_CMSG_CLOEXEC 0x40000000u
#define MSG_CMSG_COMPAT  0x80000000u

enum { SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2 };

#define SOL_SOCKET      1
#define SCM_RIGHTS      1
#define SCM_CREDENTIALS 2

struct user_msghdr {
    uint64_t name;
    uint32_t name_len;
    uint32_t pad0;
    uint64_t iov;
    uint64_t iov_count;
    uint64_t control;
    uint64_t control_len;
    uint32_t flags;
    uint32_t pad1;
};
_Static_assert(sizeof(struct user_msghdr) == 56, "struct msghdr is 56 bytes");

struct user_mmsghdr {
    struct user_msghdr hdr;
    uint32_t len;
    uint32_t pad;
};

struct user_cmsghdr {
    uint64_t len; /* with this header, without padding */
    int32_t level;
    int32_t type;
};
#define CMSG_ALIGN_LEN(len) ALIGN_UP((uint64_t)(len), 8ull)

struct user_ucred {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};

#define SOCKADDR_MAX 128u

/* An address as user space has it: `len` bytes, the first two are the family. */
struct sock_addr {
    uint32_t len;
    union {
        uint16_t family;
        uint8_t bytes[SOCKADDR_MAX];
    } u;
};

#endif
