/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that send and receive: send(2), recv(2), sendmmsg(2), recvmmsg(2).
 */
#include "base/string.h"
#include "fs/poll.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "net/sockcall.h"
#include "syscall/syscall.h"

#include <asm/errno.h>

#define MSG_INLINE_VECS 8u

/* ---- one buffer ------------------------------------------------------------------------- */

int64_t sys_sendto(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    struct iov_iter it;
    struct sock_addr name;
    struct sock_msg m = {.it = &it, .flags = (uint32_t)args->a[3]};
    int64_t result = 0;
    if (args->a[4] != 0) {
        result = sock_addr_in(&name, args->a[4], args->a[5]);
        m.name = name.len != 0 ? &name : NULL;
    }
    if (result == 0) {
        iter_init_user(&it, uaddr_of(args->a[1]), MIN(args->a[2], RW_MAX));
        result = socket_send(file, s, &m);
    }
    file_put(file);
    return result;
}

int64_t sys_recvfrom(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    struct iov_iter it;
    struct sock_addr name = {.len = 0};
    struct sock_msg m = {
        .it = &it, .flags = (uint32_t)args->a[3], .name = args->a[4] != 0 ? &name : NULL};
    iter_init_user(&it, uaddr_of(args->a[1]), MIN(args->a[2], RW_MAX));
    int64_t result = socket_recv(file, s, &m);
    if (m.rights != NULL) {
        sock_rights_discard(m.rights); /* no place for them in this call */
    }
    if (result >= 0 && m.name != NULL) {
        err = sock_addr_out(&name, args->a[4], args->a[5]);
        result = err != 0 ? err : result;
    }
    file_put(file);
    return result;
}

/* ---- message headers -------------------------------------------------------------------- */

struct msg_vecs {
    struct kiovec inline_vecs[MSG_INLINE_VECS];
    struct kiovec *vecs;
};

static void msg_vecs_free(struct msg_vecs *v) {
    if (v->vecs != v->inline_vecs) {
        kfree(v->vecs);
    }
}

/* Copies the vector of a message and sets the iterator; the caller frees it unless this fails. */
static int msg_vecs_in(struct msg_vecs *v, const struct user_msghdr *hdr, struct iov_iter *it) {
    if (hdr->iov_count > IOV_MAX_COUNT) {
        return -EMSGSIZE;
    }
    uint32_t count = (uint32_t)hdr->iov_count;
    v->vecs = count <= MSG_INLINE_VECS ? v->inline_vecs : kmalloc(count * sizeof(*v->vecs));
    if (v->vecs == NULL) {
        return -ENOMEM;
    }
    int err = count == 0 ? 0 : copyin(v->vecs, uaddr_of(hdr->iov), count * sizeof(*v->vecs));
    uint64_t total = 0;
    for (uint32_t i = 0; err == 0 && i < count; i++) {
        if (v->vecs[i].len > INT64_MAX) {
            err = -EINVAL;
        }
        v->vecs[i].len = MIN(v->vecs[i].len, RW_MAX - total);
        total += v->vecs[i].len;
    }
    if (err != 0) {
        msg_vecs_free(v);
        return err;
    }
    iter_init_user_vecs(it, v->vecs, count, total);
    return 0;
}

static int64_t msg_send_hdr(struct file *file, struct socket *s, const struct user_msghdr *hdr,
                            uint32_t flags) {
    struct msg_vecs vecs;
    struct iov_iter it;
    struct sock_addr name;
    struct sock_msg m = {.it = &it, .flags = flags};
    int64_t result = 0;
    if (hdr->name != 0 && hdr->name_len != 0) {
        result = sock_addr_in(&name, hdr->name, MIN(hdr->name_len, SOCKADDR_MAX));
        m.name = &name;
    }
    if (result == 0) {
        result = msg_vecs_in(&vecs, hdr, &it);
    }
    if (result != 0) {
        return result;
    }
    if (hdr->control_len != 0) {
        result = control_parse(s, uaddr_of(hdr->control), hdr->control_len, &m);
    }
    if (result == 0) {
        result = socket_send(file, s, &m);
    }
    msg_vecs_free(&vecs);
    return result;
}

static int msg_name_out(const struct sock_addr *name, const struct user_msghdr *hdr,
                        struct uaddr user) {
    int err = copyout(uaddr_of(hdr->name), name->u.bytes, MIN(hdr->name_len, name->len));
    if (err != 0) {
        return err;
    }
    return copyout(uaddr_add(user, offsetof(struct user_msghdr, name_len)), &name->len,
                   sizeof(name->len));
}

/* Tells what was received besides the data; consumes the rights. */
static int msg_recv_out(struct sock_msg *m, const struct user_msghdr *hdr, struct uaddr user,
                        uint32_t flags) {
    uint64_t control_len = hdr->control != 0 ? hdr->control_len : 0;
    m->flags = flags;
    control_emit(m, uaddr_of(hdr->control), &control_len);
    int err = m->name != NULL ? msg_name_out(m->name, hdr, user) : 0;
    if (err != 0) {
        return err;
    }
    uint32_t out_flags = m->out_flags | (flags & MSG_CMSG_CLOEXEC);
    err = copyout(uaddr_add(user, offsetof(struct user_msghdr, flags)), &out_flags,
                  sizeof(out_flags));
    if (err != 0) {
        return err;
    }
    return copyout(uaddr_add(user, offsetof(struct user_msghdr, control_len)), &control_len,
                   sizeof(control_len));
}

static int64_t msg_recv_hdr(struct file *file, struct socket *s, struct uaddr user,
                            uint32_t flags) {
    struct user_msghdr hdr;
    int64_t result = copyin(&hdr, user, sizeof(hdr));
    if (result != 0) {
        return result;
    }
    if ((int32_t)hdr.name_len < 0) {
        return -EINVAL;
    }
    struct msg_vecs vecs;
    struct iov_iter it;
    struct sock_addr name = {.len = 0};
    struct sock_msg m = {.it = &it, .flags = flags, .name = hdr.name != 0 ? &name : NULL};
    result = msg_vecs_in(&vecs, &hdr, &it);
    if (result != 0) {
        return result;
    }
    result = socket_recv(file, s, &m);
    msg_vecs_free(&vecs);
    if (result < 0) {
        if (m.rights != NULL) {
            sock_rights_discard(m.rights);
        }
        return result;
    }
    int err = msg_recv_out(&m, &hdr, user, flags);
    return err != 0 ? err : result;
}

static int64_t msg_send_user(struct file *file, struct socket *s, struct uaddr user,
                             uint32_t flags) {
    struct user_msghdr hdr;
    int err = copyin(&hdr, user, sizeof(hdr));
    if (err != 0) {
        return err;
    }
    if ((int32_t)hdr.name_len < 0) {
        return -EINVAL;
    }
    return msg_send_hdr(file, s, &hdr, flags);
}

int64_t sys_sendmsg(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    int64_t result = msg_send_user(file, s, uaddr_of(args->a[1]), (uint32_t)args->a[2]);
    file_put(file);
    return result;
}

int64_t sys_recvmsg(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    int64_t result = msg_recv_hdr(file, s, uaddr_of(args->a[1]), (uint32_t)args->a[2]);
    file_put(file);
    return result;
}

/* ---- several messages ------------------------------------------------------------------- */

static int mmsg_store_len(struct uaddr entry, int64_t len) {
    uint32_t value = (uint32_t)len;
    return copyout(uaddr_add(entry, offsetof(struct user_mmsghdr, len)), &value, sizeof(value));
}

int64_t sys_sendmmsg(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    uint32_t count = MIN((uint32_t)args->a[2], IOV_MAX_COUNT);
    int64_t done = 0, result = 0;
    while (done < count) {
        struct uaddr entry = uaddr_of(args->a[1] + (uint64_t)done * sizeof(struct user_mmsghdr));
        result = msg_send_user(file, s, entry, (uint32_t)args->a[3]);
        if (result >= 0) {
            result = mmsg_store_len(entry, result);
        }
        if (result < 0) {
            break;
        }
        done++;
    }
    file_put(file);
    return done != 0 ? done : result;
}

static int64_t mmsg_receive(struct file *file, struct socket *s, struct uaddr entries,
                            uint32_t count, uint32_t flags, uint64_t deadline_ns) {
    int64_t done = 0, result = 0;
    while (done < count) {
        struct uaddr entry = uaddr_add(entries, (uint64_t)done * sizeof(struct user_mmsghdr));
        result = msg_recv_hdr(file, s, entry, flags & ~MSG_WAITFORONE);
        if (result >= 0) {
            result = mmsg_store_len(entry, result);
        }
        if (result < 0) {
            break;
        }
        done++;
        if ((flags & MSG_WAITFORONE) != 0) {
            flags |= MSG_DONTWAIT;
        }
        /* recvmmsg(2), BUGS: the timeout is looked at after each message only. */
        if (deadline_ns != NO_DEADLINE && hal_clock_ns(HAL_CLOCK_MONOTONIC) >= deadline_ns) {
            break;
        }
    }
    if (done != 0 && result < 0 && result != -EAGAIN && result > -ERESTARTSYS) {
        socket_set_error(s, (int)-result); /* told by the next call */
    }
    return done != 0 ? done : result;
}

int64_t sys_recvmmsg(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    uint64_t deadline_ns;
    int64_t result = poll_deadline_user(uaddr_of(args->a[4]), &deadline_ns);
    if (result == 0) {
        result =
            mmsg_receive(file, s, uaddr_of(args->a[1]), MIN((uint32_t)args->a[2], IOV_MAX_COUNT),
                         (uint32_t)args->a[3], deadline_ns);
    }
    file_put(file);
    return result;
}
