/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Sentry's side of the Gofer's channel (moat/gofer.h): hal_gofer_call and its set-up.
 *
 * Contract.  gofer_channel_init runs on the first thread, before vCPU threads exist (they inherit
 * the filter) and after the stub zygote was forked (a chain of filters can hold one listener only).
 * The Sentry's own seccomp list must allow MOAT_GOFER_CALL_NR, and sendmsg and recvmsg on the
 * set-up socket.
 *
 * Trust: the Gofer may have been taken over.  Lengths are checked, the reply is copied out of the
 * shared slot once, and only then is its header looked at; descriptors are taken only where a
 * request asked for one.
 *
 * Locks: g_socket_lock guards the set-up socket and the descriptors that arrived for other slots;
 * slots are claimed one by one.
 */
#include "platform/hal/host.h"
#include "platform/hal/plock.h"
#include "platform/hal/sys.h"

#include "moat/gofer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fuse.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include "base/string.h"
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* linux/seccomp.h of Linux 6.6; this may be built with older headers. */
#define NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)
#define NOTIF_SYNC_WAKE 1
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

struct slot {
    uint32_t claimed;  /* atomic */
    uint64_t wants_fd; /* unique of the request that asked for a descriptor, 0: none; guarded by
                          g_socket_lock */
    int fd;            /* one that arrived for it; guarded by g_socket_lock */
};

static struct slot g_slots[MOAT_GOFER_SLOTS];
static char *g_shared;
static int g_socket = -1;
static bool g_by_socket; /* turns are records on the socket */
static struct plock g_socket_lock;
static uint32_t g_dead; /* atomic: the Gofer is gone */

static struct slot *slot_claim(uint32_t *out_index) {
    for (uint32_t i = 0;; i = (i + 1) % MOAT_GOFER_SLOTS) {
        uint32_t free_ = 0;
        if (atomic_load_relaxed(&g_slots[i].claimed) == 0 &&
            atomic_cas(&g_slots[i].claimed, &free_, 1u)) {
            *out_index = i;
            return &g_slots[i];
        }
    }
}

/* ---- descriptors ---- */

/* One record of the socket into `data`; its descriptor or -1 in *out_fd.  Bytes or -errno. */
static long socket_receive(void *data, size_t size, int flags, int *out_fd) {
    struct iovec iov = {.iov_base = data, .iov_len = size};
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf)};
    *out_fd = -1;
    long got = sys3(SYS_recvmsg, g_socket, (long)&msg, flags | MSG_CMSG_CLOEXEC);
    if (got < 0) {
        return got;
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(out_fd, CMSG_DATA(c), sizeof(int));
    }
    return got;
}

/* Puts an arrived descriptor where it is waited for, or closes it.  Lock: g_socket_lock. */
static void fd_deliver(const struct moat_gofer_passed *p, int fd) {
    if (p->magic == MOAT_GOFER_MAGIC && p->slot < MOAT_GOFER_SLOTS && p->unique != 0 &&
        g_slots[p->slot].wants_fd == p->unique && g_slots[p->slot].fd < 0) {
        g_slots[p->slot].fd = fd;
    } else {
        (void)sys1(SYS_close, fd); /* nobody asked for it */
    }
}

/* The descriptor sent for the request in `s`, or -1.  It was sent before the reply, so it is here
 * by now. */
static int fd_take(struct slot *s) {
    plock_lock(&g_socket_lock);
    while (s->fd < 0) {
        struct moat_gofer_passed p = {0};
        int fd;
        long got = socket_receive(&p, sizeof(p), MSG_DONTWAIT, &fd);
        if (got <= 0) {
            break;
        }
        if (fd >= 0) {
            fd_deliver(&p, fd);
        }
    }
    int fd = s->fd;
    s->fd = -1;
    s->wants_fd = 0;
    plock_unlock(&g_socket_lock);
    return fd;
}

static void fd_want(struct slot *s, uint64_t unique) {
    plock_lock(&g_socket_lock);
    s->wants_fd = unique;
    plock_unlock(&g_socket_lock);
}

/* The donated file's token for the kernel, or -1. */
static int fd_donate(int fd) {
    int hfd = fd < 0 ? -1 : host_fd_donate(fd);
    if (fd >= 0 && hfd < 0) {
        (void)sys1(SYS_close, fd); /* no room for it */
    }
    return hfd < 0 ? -1 : hfd;
}

/* ---- turns ---- */

/* Length of the reply or -EIO. */
static int64_t turn_notify(uint32_t slot, uint32_t len) {
    for (;;) {
        long got = sys2(MOAT_GOFER_CALL_NR, slot, len);
        if (got >= 0) {
            return got;
        }
        if (got != -EINTR) { /* interrupted before the Gofer took it: once more */
            atomic_store(&g_dead, 1u);
            return -EIO;
        }
    }
}

static int64_t turn_socket(uint32_t slot, uint32_t len) {
    struct moat_gofer_turn turn = {.slot = slot, .len = len};
    union {
        struct moat_gofer_passed passed;
        struct moat_gofer_turn turn;
    } in;
    int64_t result = -EIO;
    plock_lock(&g_socket_lock);
    long put = sys6(SYS_sendto, g_socket, (long)&turn, sizeof(turn), MSG_NOSIGNAL, 0, 0);
    while (put == (long)sizeof(turn)) {
        int fd;
        long got = socket_receive(&in, sizeof(in), 0, &fd);
        if (got == -EINTR) {
            continue;
        }
        if (fd >= 0) {
            fd_deliver(&in.passed, fd);
            continue;
        }
        if (got == (long)sizeof(in.turn) && in.turn.slot == slot) {
            result = in.turn.len;
        }
        break;
    }
    plock_unlock(&g_socket_lock);
    if (result < 0) {
        atomic_store(&g_dead, 1u);
    }
    return result;
}

/* ---- calls ---- */

/* Copies the request into the slot: its length, or -E2BIG. */
static int64_t request_put(char *area, const struct hal_seg *req, size_t req_count) {
    size_t len = 0;
    for (size_t i = 0; i < req_count; i++) {
        if (req[i].len > MOAT_GOFER_MSG_MAX - len) {
            return -E2BIG;
        }
        if (req[i].len > 0) {
            memcpy(area + len, req[i].base, req[i].len);
        }
        len += req[i].len;
    }
    return len < sizeof(struct fuse_in_header) ? -EINVAL : (int64_t)len;
}

/* Copies the reply out of the slot and checks its header. */
static int64_t reply_take(const char *area, int64_t len, uint64_t unique, void *reply,
                          size_t reply_max) {
    struct fuse_out_header h;
    if (len == 0) {
        return 0; /* the request has no reply */
    }
    if (len < (int64_t)sizeof(h) || len > (int64_t)MOAT_GOFER_MSG_MAX || (size_t)len > reply_max) {
        return -EIO;
    }
    memcpy(reply, area, (size_t)len);
    memcpy(&h, reply, sizeof(h));
    if (h.len != (uint64_t)len || h.unique != unique || h.error > 0 || h.error < -4095) {
        return -EIO;
    }
    return len;
}

static bool asks_for_fd(const struct fuse_in_header *h) {
    return (h->opcode == FUSE_OPEN || h->opcode == FUSE_CREATE) && h->unique != 0;
}

int64_t hal_gofer_call(uint32_t chan, const struct hal_seg *req, size_t req_count, void *reply,
                       size_t reply_max, int *out_hfd) {
    struct fuse_in_header h;
    uint32_t index;
    *out_hfd = -1;
    if (g_shared == NULL || chan != 0 || atomic_load(&g_dead) != 0 || req_count == 0 ||
        req[0].len < sizeof(h)) {
        return -EIO;
    }
    memcpy(&h, req[0].base, sizeof(h));
    struct slot *s = slot_claim(&index);
    char *area = g_shared + (size_t)index * MOAT_GOFER_SLOT_SIZE;
    int64_t result = request_put(area, req, req_count);
    if (result >= 0) {
        bool fd_wanted = asks_for_fd(&h);
        if (fd_wanted) {
            fd_want(s, h.unique);
        }
        uint32_t len = (uint32_t)result;
        result = g_by_socket ? turn_socket(index, len) : turn_notify(index, len);
        if (result >= 0) {
            result = reply_take(area, result, h.unique, reply, reply_max);
        }
        int fd = fd_wanted ? fd_take(s) : -1;
        if (fd >= 0 && result < (int64_t)sizeof(struct fuse_out_header)) {
            (void)sys1(SYS_close, fd); /* came with no reply to go with */
        } else {
            *out_hfd = fd_donate(fd);
        }
    }
    atomic_store(&s->claimed, 0u);
    return result;
}

/* ---- set-up ---- */

/* A filter that hands exactly our call to its listener; the listener or -errno. */
static int listener_install(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MOAT_GOFER_CALL_NR, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {.len = ARRAY_COUNT(code), .filter = code};
    long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    long err = sys5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (err != 0) {
        return (int)err;
    }
    long fd = sys3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, (long)&prog);
    if (fd >= 0) {
        /* Before Linux 6.6 answers come by an ordinary wake-up: slower, not wrong.  (The flags go
         * by value.) */
        (void)sys3(SYS_ioctl, fd, NOTIF_SET_FLAGS, NOTIF_SYNC_WAKE);
    }
    return (int)fd;
}

static int hello_send(int listener) {
    struct moat_gofer_hello hello = {
        .magic = MOAT_GOFER_MAGIC, .version = MOAT_GOFER_VERSION, .has_listener = listener >= 0};
    struct iovec iov = {.iov_base = &hello, .iov_len = sizeof(hello)};
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (listener >= 0) {
        msg.msg_control = control.buf;
        msg.msg_controllen = sizeof(control.buf);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &listener, sizeof(int));
    }
    long put = sys3(SYS_sendmsg, g_socket, (long)&msg, MSG_NOSIGNAL);
    return put == (long)sizeof(hello) ? 0 : put < 0 ? (int)put : -EIO;
}

int gofer_channel_init(const struct moat_boot *boot) {
    if (boot->gofer_fd < 0 || boot->gofer_shm_fd < 0) {
        return 0; /* a sandbox without host files */
    }
    long area = sys6(SYS_mmap, 0, MOAT_GOFER_SHM_SIZE, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_NORESERVE, boot->gofer_shm_fd, 0);
    if (area < 0 && area > -4096) {
        return (int)area;
    }
    for (uint32_t i = 0; i < MOAT_GOFER_SLOTS; i++) {
        g_slots[i].fd = -1;
    }
    g_socket = boot->gofer_fd;
    /* Where interrupted calls cannot be told from answered ones (before Linux 5.19), and where
     * asked for. */
    int listener = boot->handover == MOAT_HANDOVER_TRAP ? -EOPNOTSUPP : listener_install();
    g_by_socket = listener < 0;
    int err = hello_send(listener < 0 ? -1 : listener);
    if (listener >= 0) {
        (void)sys1(SYS_close, listener); /* the Gofer's alone: its death must end our calls */
    }
    if (err == 0) {
        g_shared = (char *)(uintptr_t)area;
    }
    return err;
}
