/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that make, name and connect sockets.
 */
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "net/sockcall.h"
#include "syscall/syscall.h"

#include <asm/errno.h>
#include <linux/fcntl.h>

/* Families the kernel serves; others answer EAFNOSUPPORT. */
static const struct sock_family *const g_families[] = {
    &g_unix_family,
    &g_inet_family,
    &g_inet6_family,
    &g_netlink_family,
};

/* ---- shared with the message calls ------------------------------------------------------ */

struct file *sock_file_get(uint64_t fd, struct socket **out, int *out_err) {
    struct file *file = fd_get((int32_t)fd, false);
    if (file == NULL) {
        *out_err = -EBADF;
        return NULL;
    }
    *out = socket_of(file);
    if (*out == NULL) {
        file_put(file);
        *out_err = -ENOTSOCK;
        return NULL;
    }
    return file;
}

int sock_addr_in(struct sock_addr *out, uint64_t user, uint64_t user_len) {
    int32_t len = (int32_t)user_len;
    if (len < 0 || len > (int32_t)SOCKADDR_MAX) {
        return -EINVAL;
    }
    out->len = (uint32_t)len;
    out->u.family = AF_UNSPEC;
    return len == 0 ? 0 : copyin(out->u.bytes, uaddr_of(user), (size_t)len);
}

int sock_addr_out(const struct sock_addr *addr, uint64_t user, uint64_t user_len) {
    int32_t room;
    int err = copyin(&room, uaddr_of(user_len), sizeof(room));
    if (err != 0) {
        return err;
    }
    if (room < 0) {
        return -EINVAL;
    }
    err = copyout(uaddr_of(user), addr->u.bytes, MIN((uint32_t)room, addr->len));
    return err != 0 ? err : copyout(uaddr_of(user_len), &addr->len, sizeof(addr->len));
}

/* ---- socket, socketpair ----------------------------------------------------------------- */

static int sock_create(int family, uint32_t type, int protocol, struct socket **out) {
    if (family < 0 || family >= AF_MAX) {
        return -EAFNOSUPPORT;
    }
    if (type >= SOCK_TYPE_MAX) {
        return -EINVAL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(g_families); i++) {
        if (g_families[i]->family == family) {
            return g_families[i]->create((int)type, protocol, out);
        }
    }
    return -EAFNOSUPPORT;
}

static int sock_check_type(uint64_t arg, uint32_t *out_type, uint32_t *out_flags) {
    uint32_t value = (uint32_t)arg;
    *out_type = value & SOCK_TYPE_MASK;
    *out_flags = value & ~SOCK_TYPE_MASK;
    return (*out_flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0 ? -EINVAL : 0;
}

int64_t sys_socket(struct task *t, const struct sysargs *args) {
    uint32_t type, flags;
    struct socket *s;
    int err = sock_check_type(args->a[1], &type, &flags);
    if (err == 0) {
        err = sock_create((int32_t)args->a[0], type, (int32_t)args->a[2], &s);
    }
    struct file *file;
    if (err == 0) {
        err = socket_file(s, flags & SOCK_NONBLOCK, &file);
    }
    if (err != 0) {
        return err;
    }
    return fd_give(file, (flags & SOCK_CLOEXEC) != 0);
}

/* Two connected sockets as files; both referenced. */
static int sock_pair_files(int family, uint32_t type, int protocol, uint32_t flags,
                           struct file *out[2]) {
    struct socket *a, *b;
    int err = sock_create(family, type, protocol, &a);
    if (err != 0) {
        return err;
    }
    if (a->ops->pair == NULL) {
        socket_put(a);
        return -EOPNOTSUPP;
    }
    err = sock_create(family, type, protocol, &b);
    if (err != 0) {
        socket_put(a);
        return err;
    }
    err = a->ops->pair(a, b);
    if (err == 0) {
        err = socket_file(a, flags, &out[0]);
    }
    if (err != 0) {
        b->ops->release(b);
        socket_put(b);
        return err;
    }
    err = socket_file(b, flags, &out[1]);
    if (err != 0) {
        file_put(out[0]);
    }
    return err;
}

/* Installs both and tells user space; nothing is left installed after an error. */
static int sock_pair_install(struct file *files[2], bool cloexec, struct uaddr user) {
    int32_t fds[2];
    fds[0] = fd_install(files[0], cloexec, 0);
    if (fds[0] < 0) {
        return fds[0];
    }
    fds[1] = fd_install(files[1], cloexec, 0);
    int err = fds[1] < 0 ? fds[1] : copyout(user, fds, sizeof(fds));
    if (err != 0) {
        (void)fd_close(fds[0]); /* the error to tell is the first one */
        if (fds[1] >= 0) {
            (void)fd_close(fds[1]);
        }
    }
    return err;
}

int64_t sys_socketpair(struct task *t, const struct sysargs *args) {
    uint32_t type, flags;
    struct file *files[2];
    int err = sock_check_type(args->a[1], &type, &flags);
    if (err == 0) {
        err = sock_pair_files((int32_t)args->a[0], type, (int32_t)args->a[2], flags & SOCK_NONBLOCK,
                              files);
    }
    if (err != 0) {
        return err;
    }
    err = sock_pair_install(files, (flags & SOCK_CLOEXEC) != 0, uaddr_of(args->a[3]));
    file_put(files[0]);
    file_put(files[1]);
    return err;
}

/* ---- bind, listen, connect, shutdown ---------------------------------------------------- */

int64_t sys_bind(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    struct sock_addr addr;
    err = sock_addr_in(&addr, args->a[1], args->a[2]);
    if (err == 0) {
        err = s->ops->bind == NULL
                  ? -EOPNOTSUPP
                  : (addr.len < sizeof(addr.u.family) ? -EINVAL : s->ops->bind(s, &addr));
    }
    file_put(file);
    return err;
}

int64_t sys_listen(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    err = s->ops->listen == NULL ? -EOPNOTSUPP : s->ops->listen(s, (uint32_t)args->a[1]);
    file_put(file);
    return err;
}

int64_t sys_connect(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    struct sock_addr addr;
    err = sock_addr_in(&addr, args->a[1], args->a[2]);
    if (err == 0) {
        uint32_t flags = atomic_load_relaxed(&file->flags) & O_NONBLOCK;
        err = s->ops->connect == NULL
                  ? -EOPNOTSUPP
                  : (addr.len < sizeof(addr.u.family) ? -EINVAL : s->ops->connect(s, &addr, flags));
    }
    file_put(file);
    return err;
}

int64_t sys_shutdown(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    int32_t how = (int32_t)args->a[1];
    if (how < SHUT_RD || how > SHUT_RDWR) {
        err = -EINVAL;
    } else {
        err = s->ops->shutdown == NULL ? -EOPNOTSUPP : s->ops->shutdown(s, (uint32_t)how + 1);
    }
    file_put(file);
    return err;
}

/* ---- accept ----------------------------------------------------------------------------- */

/* Opens the accepted socket, which is consumed: its descriptor or -errno.  Without a free
 * descriptor it stays with the listener for a later accept. */
static int sock_accept_install(struct socket *listener, struct socket *child, uint32_t flags,
                               const struct sysargs *args) {
    struct file *file;
    struct sock_addr addr = {0};
    int err = args->a[1] != 0 ? child->ops->getname(child, true, &addr) : 0;
    if (err == -ENOTCONN) {
        addr.len = sizeof(addr.u.family); /* the client has gone already */
        addr.u.family = child->family;
    }
    err = socket_file(child, flags & SOCK_NONBLOCK, &file);
    if (err != 0) {
        return err;
    }
    int fd = fd_install(file, (flags & SOCK_CLOEXEC) != 0, 0);
    if (fd < 0) {
        socket_unfile(file);
        sock_unaccept(listener, child);
    } else if (args->a[1] != 0) {
        err = sock_addr_out(&addr, args->a[1], args->a[2]);
        if (err != 0) {
            (void)fd_close(fd); /* the error to tell is the first one */
        }
    }
    file_put(file);
    return err != 0 ? err : fd;
}

static int64_t sock_accept_call(const struct sysargs *args, uint32_t flags) {
    if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    struct socket *s, *child;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    err = s->ops->accept == NULL
              ? -EOPNOTSUPP
              : s->ops->accept(s, atomic_load_relaxed(&file->flags) & O_NONBLOCK, &child);
    if (err == 0) {
        err = sock_accept_install(s, child, flags, args);
    }
    file_put(file);
    return err;
}

int64_t sys_accept(struct task *t, const struct sysargs *args) {
    return sock_accept_call(args, 0);
}

int64_t sys_accept4(struct task *t, const struct sysargs *args) {
    return sock_accept_call(args, (uint32_t)args->a[3]);
}

/* ---- names ------------------------------------------------------------------------------ */

static int64_t sock_name_call(const struct sysargs *args, bool peer) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    struct sock_addr addr = {0};
    err = s->ops->getname(s, peer, &addr);
    if (err == 0) {
        err = sock_addr_out(&addr, args->a[1], args->a[2]);
    }
    file_put(file);
    return err;
}

int64_t sys_getsockname(struct task *t, const struct sysargs *args) {
    return sock_name_call(args, false);
}

int64_t sys_getpeername(struct task *t, const struct sysargs *args) {
    return sock_name_call(args, true);
}

/* ---- options ---------------------------------------------------------------------------- */

#define SOCKOPT_MAX 256u

static int sock_set_other(struct socket *s, int level, int name, struct uaddr value, int32_t len) {
    uint8_t copy[SOCKOPT_MAX];
    if (s->ops->setsockopt == NULL) {
        return -EOPNOTSUPP;
    }
    uint32_t used = MIN((uint32_t)len, SOCKOPT_MAX);
    int err = used == 0 ? 0 : copyin(copy, value, used);
    return err != 0 ? err : s->ops->setsockopt(s, level, name, copy, used);
}

int64_t sys_setsockopt(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    int level = (int32_t)args->a[1], name = (int32_t)args->a[2];
    int32_t len = (int32_t)args->a[4];
    if (len < 0) {
        err = -EINVAL;
    } else if (level == SOL_SOCKET) {
        err = socket_setsockopt(s, name, uaddr_of(args->a[3]), len);
    } else {
        err = sock_set_other(s, level, name, uaddr_of(args->a[3]), len);
    }
    file_put(file);
    return err;
}

static int sock_get_value(struct socket *s, const struct sysargs *args) {
    int level = (int32_t)args->a[1], name = (int32_t)args->a[2];
    int32_t room;
    uint8_t value[SOCKOPT_MAX] = {0};
    int err = copyin(&room, uaddr_of(args->a[4]), sizeof(room));
    if (err != 0) {
        return err;
    }
    if (room < 0) {
        return -EINVAL;
    }
    uint32_t len = MIN((uint32_t)room, SOCKOPT_MAX);
    if (level == SOL_SOCKET) {
        err = socket_getsockopt(s, name, value, &len);
    } else {
        err = s->ops->getsockopt == NULL ? -EOPNOTSUPP
                                         : s->ops->getsockopt(s, level, name, value, &len);
    }
    if (err == 0) {
        err = copyout(uaddr_of(args->a[3]), value, len);
    }
    return err != 0 ? err : copyout(uaddr_of(args->a[4]), &len, sizeof(len));
}

int64_t sys_getsockopt(struct task *t, const struct sysargs *args) {
    struct socket *s;
    int err = 0;
    struct file *file = sock_file_get(args->a[0], &s, &err);
    if (file == NULL) {
        return err;
    }
    err = sock_get_value(s, args);
    file_put(file);
    return err;
}
