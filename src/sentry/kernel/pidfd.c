/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of processes: pidfd_open(2), pidfd_send_signal(2); poll says when the process has
 * ended.
 */
#include "base/fmt.h"
#include "base/string.h"
#include "fs/vfs.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/pidfd.h>
#include <linux/poll.h>
#include <linux/signal.h>

static void pidfd_release(struct file *file) {
    process_put(file->private);
}

static uint32_t pidfd_poll(struct file *file, struct poll_table *table) {
    struct process *p = file->private;

    poll_wait(table, &p->exit_waiters);
    return atomic_load(&p->zombie) ? POLLIN | POLLRDNORM : 0;
}

static int pidfd_show(struct file *file, char *buf, size_t size) {
    struct process *p = file->private;
    int32_t pid = atomic_load(&p->reaped) ? -1 : p->pid;

    return (int)fmt_snprintf(buf, size, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
}

static const struct file_ops g_pidfd_ops = {
    .release = pidfd_release,
    .poll = pidfd_poll,
    .show_fdinfo = pidfd_show,
};

int pidfd_create(struct process *p, uint32_t flags, struct file **out_file) {
    process_get(p);
    int err = file_anon("[pidfd]", &g_pidfd_ops, p, O_RDWR | (flags & O_NONBLOCK), out_file);
    if (err != 0) {
        process_put(p);
    }
    return err;
}

struct process *pidfd_process(struct file *file) {
    if (file->ops != &g_pidfd_ops) {
        return NULL;
    }
    struct process *p = file->private;
    process_get(p);
    return p;
}

int64_t sys_pidfd_open(struct task *t, const struct sysargs *args) {
    int32_t pid = (int32_t)args->a[0];
    uint32_t flags = (uint32_t)args->a[1];
    struct file *file = NULL;

    if ((flags & ~(uint32_t)PIDFD_NONBLOCK) != 0 || pid <= 0) {
        return -EINVAL;
    }
    struct process *p = process_find(pid);
    if (p == NULL) {
        struct task *thread = task_find(pid);
        if (thread == NULL) {
            return -ESRCH;
        }
        task_put(thread);
        return -EINVAL; /* a thread that leads no process */
    }
    int err = pidfd_create(p, flags, &file);
    process_put(p);
    if (err != 0) {
        return err;
    }
    return fd_give(file, true);
}

static int64_t send_through(struct task *t, struct process *p, int32_t signo, struct uaddr uinfo) {
    struct ksiginfo info;

    memset(&info, 0, sizeof(info));
    if (uinfo.v != 0) {
        if (copyin(&info, uinfo, sizeof(info)) != 0) {
            return -EFAULT;
        }
        if (info.signo != signo) {
            return -EINVAL;
        }
        if ((info.code >= 0 || info.code == SI_TKILL) && p != t->process) {
            return -EPERM;
        }
    } else {
        info.signo = signo;
        info.code = SI_USER;
        info.u.rt.pid = t->process->pid;
        info.u.rt.uid = t->cred->uid;
    }
    if (atomic_load(&p->reaped)) {
        return -ESRCH;
    }
    int err = may_signal(p, signo);
    return err == 0 && signo != 0 ? signal_send_process(p, signo, &info) : err;
}

int64_t sys_pidfd_send_signal(struct task *t, const struct sysargs *args) {
    int32_t signo = (int32_t)args->a[1];

    if (args->a[3] != 0 || signo < 0 || signo > NSIG_MAX) {
        return -EINVAL;
    }
    struct file *file = fd_get((int32_t)args->a[0], false);
    if (file == NULL) {
        return -EBADF;
    }
    struct process *p = pidfd_process(file);
    file_put(file);
    if (p == NULL) {
        return -EBADF;
    }
    int64_t result = send_through(t, p, signo, uaddr_of(args->a[2]));
    process_put(p);
    return result;
}
