/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control messages: cmsg(3), SCM_RIGHTS and SCM_CREDENTIALS of unix(7).
 *
 * The whole control buffer is copied once; lengths in it are checked against the copy.
 */
#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "net/socket.h"

#include <asm/errno.h>
#include <linux/capability.h>

#define CONTROL_MAX    20480u /* net.core.optmem_max */
#define CONTROL_INLINE 256u
#define RIGHTS_MAX     253u /* unix(7): SCM_MAX_FD */

/* ---- sending ---------------------------------------------------------------------------- */

static int control_add_rights(struct sock_msg *m, const int32_t *fds, uint32_t count) {
    uint32_t old = m->rights != NULL ? m->rights->count : 0;
    if (count == 0) {
        return 0;
    }
    if (old + count > RIGHTS_MAX) {
        return -EINVAL;
    }
    struct sock_rights *r = krealloc(m->rights, sizeof(*r) + (old + count) * sizeof(r->files[0]));
    if (r == NULL) {
        return -ENOMEM;
    }
    r->count = old;
    m->rights = r;
    for (uint32_t i = 0; i < count; i++) {
        struct file *file = fd_get(fds[i], true);
        if (file == NULL) {
            return -EBADF;
        }
        r->files[r->count++] = file;
    }
    return 0;
}

/* May current say that it is who `c` says?  unix(7), SCM_CREDENTIALS. */
static int control_check_creds(const struct user_ucred *c) {
    const struct cred *cred = current->cred;
    if (c->pid != current->process->pid && !capable(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    if (c->uid != cred->uid && c->uid != cred->euid && c->uid != cred->suid &&
        !capable(CAP_SETUID)) {
        return -EPERM;
    }
    if (c->gid != cred->gid && c->gid != cred->egid && c->gid != cred->sgid &&
        !capable(CAP_SETGID)) {
        return -EPERM;
    }
    if (c->pid != current->process->pid) {
        struct process *p = process_find(c->pid);
        if (p == NULL) {
            return -ESRCH;
        }
        process_put(p);
    }
    return 0;
}

static int control_parse_one(struct socket *s, const struct user_cmsghdr *hdr, const uint8_t *data,
                             uint64_t len, struct sock_msg *m) {
    if (hdr->level != SOL_SOCKET) {
        return 0; /* of other protocols: nothing that this kernel acts on */
    }
    switch (hdr->type) {
    case SCM_RIGHTS: {
        int32_t fds[RIGHTS_MAX];
        if (s->family != AF_UNIX || len / sizeof(fds[0]) > RIGHTS_MAX) {
            return -EINVAL;
        }
        memcpy(fds, data, len / sizeof(fds[0]) * sizeof(fds[0]));
        return control_add_rights(m, fds, (uint32_t)(len / sizeof(fds[0])));
    }
    case SCM_CREDENTIALS:
        if (len != sizeof(m->creds) || (s->family != AF_UNIX && s->family != AF_NETLINK)) {
            return -EINVAL;
        }
        memcpy(&m->creds, data, sizeof(m->creds));
        m->has_creds = true;
        return control_check_creds(&m->creds);
    default:
        return -EINVAL;
    }
}

static int control_parse_all(struct socket *s, const uint8_t *buf, uint64_t len,
                             struct sock_msg *m) {
    uint64_t at = 0;
    while (len - at >= sizeof(struct user_cmsghdr)) {
        struct user_cmsghdr hdr;
        memcpy(&hdr, buf + at, sizeof(hdr));
        if (hdr.len < sizeof(hdr) || hdr.len > len - at) {
            return -EINVAL;
        }
        int err = control_parse_one(s, &hdr, buf + at + sizeof(hdr), hdr.len - sizeof(hdr), m);
        if (err != 0) {
            return err;
        }
        at += MIN(CMSG_ALIGN_LEN(hdr.len), len - at);
    }
    return 0;
}

int control_parse(struct socket *s, struct uaddr control, uint64_t len, struct sock_msg *m) {
    uint8_t inline_buf[CONTROL_INLINE];
    if (len > CONTROL_MAX) {
        return -ENOBUFS;
    }
    uint8_t *buf = len <= sizeof(inline_buf) ? inline_buf : kmalloc(len);
    if (buf == NULL) {
        return -ENOBUFS;
    }
    int err = copyin(buf, control, len);
    if (err == 0) {
        err = control_parse_all(s, buf, len, m);
    }
    if (err != 0 && m->rights != NULL) {
        sock_rights_discard(m->rights);
        m->rights = NULL;
    }
    if (buf != inline_buf) {
        kfree(buf);
    }
    return err;
}

/* ---- receiving -------------------------------------------------------------------------- */

struct control_writer {
    struct uaddr at;
    uint64_t left;
};

static void control_advance(struct control_writer *w, uint64_t len) {
    uint64_t step = MIN(CMSG_ALIGN_LEN(len), w->left);
    w->at = uaddr_add(w->at, step);
    w->left -= step;
}

/* Writes one message, as much of it as fits. */
static void control_put(struct control_writer *w, struct sock_msg *m, int type, const void *data,
                        uint32_t len) {
    struct user_cmsghdr hdr = {sizeof(hdr) + len, SOL_SOCKET, type};
    if (w->left < sizeof(hdr)) {
        m->out_flags |= MSG_CTRUNC;
        return;
    }
    if (w->left < hdr.len) {
        m->out_flags |= MSG_CTRUNC;
        hdr.len = w->left;
    }
    if (copyout(w->at, &hdr, sizeof(hdr)) == 0 &&
        copyout(uaddr_add(w->at, sizeof(hdr)), data, hdr.len - sizeof(hdr)) == 0) {
        control_advance(w, hdr.len);
    }
}

/* Installs one file and tells its number; false when there is no descriptor or no memory at `to`.
 */
static bool control_install(struct file *file, bool cloexec, struct uaddr to) {
    int32_t fd = fd_install(file, cloexec, 0);
    if (fd < 0) {
        return false;
    }
    if (copyout(to, &fd, sizeof(fd)) != 0) {
        (void)fd_close(fd); /* the program never learnt of it */
        return false;
    }
    return true;
}

static void control_put_rights(struct control_writer *w, struct sock_msg *m) {
    struct sock_rights *r = m->rights;
    uint64_t room = w->left > sizeof(struct user_cmsghdr)
                        ? (w->left - sizeof(struct user_cmsghdr)) / sizeof(int32_t)
                        : 0;
    uint32_t count = 0;
    struct uaddr data = uaddr_add(w->at, sizeof(struct user_cmsghdr));
    bool cloexec = (m->flags & MSG_CMSG_CLOEXEC) != 0;
    while (count < r->count && count < room &&
           control_install(r->files[count], cloexec, uaddr_add(data, count * sizeof(int32_t)))) {
        count++;
    }
    if (count < r->count) {
        m->out_flags |= MSG_CTRUNC;
    }
    if (count > 0) {
        struct user_cmsghdr hdr = {sizeof(hdr) + count * sizeof(int32_t), SOL_SOCKET, SCM_RIGHTS};
        if (copyout(w->at, &hdr, sizeof(hdr)) == 0) {
            control_advance(w, hdr.len);
        }
    }
}

void control_emit(struct sock_msg *m, struct uaddr control, uint64_t *inout_len) {
    struct control_writer w = {control, *inout_len};
    if (m->has_creds) {
        control_put(&w, m, SCM_CREDENTIALS, &m->creds, sizeof(m->creds));
    }
    if (m->rights != NULL) {
        control_put_rights(&w, m);
        sock_rights_discard(m->rights);
        m->rights = NULL;
    }
    *inout_len -= w.left;
}
