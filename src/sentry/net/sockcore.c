/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets as files, and what every family needs: life, waiting, errors.
 */
#include "fs/async.h"
#include "base/fmt.h"
#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "net/socket.h"

#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/fcntl.h>
#include <linux/sockios.h>
#include <linux/stat.h>

#define SOCKET_BUFFER_DEFAULT 212992u /* net.core.wmem_default */

void socket_init(struct socket *s, const struct sock_ops *ops, uint16_t family, int type,
                 int protocol) {
    ref_init(&s->ref);
    s->ops = ops;
    s->family = family;
    s->type = (uint16_t)type;
    s->protocol = protocol;
    spin_init(&s->lock, RANK_FILE);
    waitq_init(&s->waitq);
    waitq_init(&s->room);
    mutex_init(&s->rx_mutex);
    list_init(&s->rx);
    list_init(&s->accept_queue);
    list_init(&s->accept_link);
    s->sndbuf = SOCKET_BUFFER_DEFAULT;
    s->rcvbuf = SOCKET_BUFFER_DEFAULT;
    s->rcvlowat = 1;
    s->linger_seconds = -1;
    s->peer_creds = (struct user_ucred){0, UINT32_MAX, UINT32_MAX};
}

void socket_put(struct socket *s) {
    if (s != NULL && ref_put(&s->ref)) {
        s->ops->destroy(s);
    }
}

/* ---- errors, waiting -------------------------------------------------------------------- */

int socket_take_error(struct socket *s) {
    if (likely(atomic_load(&s->error) == 0)) {
        return 0;
    }
    return -atomic_exchange(&s->error, 0);
}

void socket_set_error(struct socket *s, int error) {
    atomic_store(&s->error, error);
}

uint64_t socket_deadline(uint64_t timeout_ns, bool nonblock) {
    if (nonblock) {
        return 0;
    }
    uint64_t deadline;
    if (timeout_ns == 0 || ckd_add(&deadline, hal_clock_ns(HAL_CLOCK_MONOTONIC), timeout_ns)) {
        return NO_DEADLINE;
    }
    return deadline;
}

int socket_wait(struct socket *s, struct waitq *q, uint32_t mask,
                bool (*ready)(struct socket *s, void *arg), void *arg, uint64_t deadline_ns) {
    if (deadline_ns == 0) {
        return ready(s, arg) ? 0 : -EAGAIN;
    }
    struct waiter w;
    waiter_init_task(&w, current);
    w.mask = mask | POLLERR | POLLHUP;
    waitq_add(q, &w);
    int err = 0;
    while (!ready(s, arg) && err == 0) {
        err = task_block(deadline_ns, BLOCK_INTERRUPTIBLE);
    }
    waitq_remove(&w);
    if (err == 0 || ready(s, arg)) {
        return 0;
    }
    if (err == -ETIMEDOUT) {
        return -EAGAIN;
    }
    return deadline_ns == NO_DEADLINE ? -ERESTARTSYS
                                      : -EINTR; /* signal(7): with a timeout never restarted */
}

void socket_shut(struct socket *s, uint32_t bits) {
    (void)atomic_fetch_or(&s->shutdown, bits);
    uint32_t events = POLLERR | POLLRDHUP | POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
    if (atomic_load(&s->shutdown) == SHUT_BITS) {
        events |= POLLHUP;
    }
    waitq_wake(&s->waitq, events);
    waitq_wake(&s->room, events);
}

void socket_current_creds(struct user_ucred *out, bool effective) {
    const struct cred *c = current->cred;
    out->pid = current->process->pid;
    out->uid = effective ? c->euid : c->uid;
    out->gid = effective ? c->egid : c->gid;
}

/* ---- sending and receiving -------------------------------------------------------------- */

static uint32_t socket_file_flags(const struct file *file, uint32_t flags) {
    if ((atomic_load_relaxed(&file->flags) & O_NONBLOCK) != 0) {
        flags |= MSG_DONTWAIT;
    }
    return flags;
}

int64_t socket_send(struct file *file, struct socket *s, struct sock_msg *m) {
    m->flags = socket_file_flags(file, m->flags);
    int64_t result = s->ops->send(s, m);
    if (m->rights != NULL) {
        sock_rights_discard(m->rights);
        m->rights = NULL;
    }
    if (result == -EPIPE && (m->flags & MSG_NOSIGNAL) == 0 && s->type == SOCK_STREAM) {
        (void)signal_send_task(current, SIGPIPE, NULL); /* the error tells it too */
    }
    if (unlikely(result == -EAGAIN)) {
        file_async_full(file);
    }
    return result;
}

int64_t socket_recv(struct file *file, struct socket *s, struct sock_msg *m) {
    m->flags = socket_file_flags(file, m->flags);
    return s->ops->recv(s, m);
}

/* ---- the file --------------------------------------------------------------------------- */

static int64_t socket_file_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    if (iter_left(to) == 0) {
        return 0;
    }
    struct sock_msg m = {.it = to};
    int64_t n = socket_recv(file, file->private, &m);
    if (m.rights != NULL) {
        sock_rights_discard(m.rights); /* read(2) has no place for them */
    }
    return n;
}

static int64_t socket_file_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    struct sock_msg m = {.it = from};
    return socket_send(file, file->private, &m);
}

static uint32_t socket_file_poll(struct file *file, struct poll_table *table) {
    struct socket *s = file->private;
    return s->ops->poll(s, table);
}

static int64_t socket_file_ioctl(struct file *file, uint32_t request, struct uaddr arg) {
    struct socket *s = file->private;
    int64_t result = s->ops->ioctl != NULL ? s->ops->ioctl(s, request, arg) : -ENOTTY;
    return result == -ENOTTY ? netdev_ioctl(request, arg) : result;
}

static void socket_file_release(struct file *file) {
    struct socket *s = file->private;
    if (s == NULL) {
        return; /* socket_unfile took it back */
    }
    spin_lock(&s->lock);
    s->file = NULL;
    spin_unlock(&s->lock);
    s->ops->release(s);
    socket_put(s);
}

static const struct file_ops g_socket_fops = {
    .sends_sigio = true,
    .release = socket_file_release,
    .read = socket_file_read,
    .write = socket_file_write,
    .poll = socket_file_poll,
    .ioctl = socket_file_ioctl,
};

static const struct inode_ops g_socket_iops = {0};

struct socket *socket_of(const struct file *file) {
    return file->ops == &g_socket_fops ? file->private : NULL;
}

static int socket_open(struct socket *s, uint32_t flags, struct file **out_file) {
    struct inode *inode =
        inode_alloc(anon_super(), S_IFSOCK | 0777, &g_socket_iops, &g_socket_fops);
    if (inode == NULL) {
        return -ENOMEM;
    }
    inode_init_owner(inode, NULL, S_IFSOCK | 0777);
    char label[40];
    fmt_snprintf(label, sizeof(label), "socket:[%llu]", (unsigned long long)inode->ino);
    int err = file_from_inode(inode, label, &g_socket_fops, O_RDWR | flags, out_file);
    inode_put(inode); /* the file holds its own reference */
    if (err != 0) {
        return err;
    }
    (*out_file)->private = s;
    (*out_file)->mode |= FMODE_STREAM;
    spin_lock(&s->lock);
    s->file = *out_file;
    spin_unlock(&s->lock);
    return 0;
}

int socket_file(struct socket *s, uint32_t flags, struct file **out_file) {
    int err = socket_open(s, flags & O_NONBLOCK, out_file);
    if (err != 0) {
        s->ops->release(s);
        socket_put(s);
    }
    return err;
}

void socket_unfile(struct file *file) {
    struct socket *s = file->private;
    spin_lock(&s->lock);
    s->file = NULL;
    spin_unlock(&s->lock);
    file->private = NULL;
}
