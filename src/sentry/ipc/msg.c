/* SPDX-License-Identifier: Apache-2.0 */
/* System V message queues: msgget(2), msgop(2), msgctl(2). */
#include "base/string.h"
#include "fs/seq.h"
#include "fs/vfs.h"
#include "ipc/ipc.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/errno.h>
#include <asm/msgbuf.h>
#include <linux/capability.h>

enum { MSG_CTL_STAT = 11, MSG_CTL_INFO = 12, MSG_CTL_STAT_ANY = 13 };
#define MSG_OP_NOERROR 010000u
#define MSG_OP_EXCEPT  020000u
#define MSG_OP_COPY    040000u

#define MSG_SIZE_MAX   8192u  /* MSGMAX */
#define MSG_QUEUE_MAX  16384u /* MSGMNB */
#define MSG_QUEUES_MAX 32000u /* MSGMNI */

struct msg {
    struct list link;
    int64_t type;
    uint32_t len;
    uint8_t data[];
};

struct msg_queue {
    struct ipc_object o;
    struct list msgs; /* oldest first; guarded by o.lock, as the rest */
    uint64_t bytes, count, bytes_max;
    int64_t stime, rtime;
    int32_t send_pid, receive_pid;
};

struct user_msginfo {
    int32_t msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql;
    uint16_t msgseg, pad;
};

static struct msg_queue *queue_of(struct ipc_object *o) {
    return container_of(o, struct msg_queue, o);
}

static void queue_free(struct ipc_object *o) {
    struct msg *m, *next;
    list_for_each_entry_safe (m, next, &queue_of(o)->msgs, link) {
        kfree(m);
    }
    kfree(queue_of(o));
}

struct ipc_kind g_msg_kind = IPC_KIND_INIT(g_msg_kind, MSG_QUEUES_MAX, queue_free);

int64_t sys_msgget(struct task *t, const struct sysargs *args) {
    int32_t key = (int32_t)args->a[0];
    uint32_t flags = (uint32_t)args->a[1];
    struct msg_queue *q = NULL;
    if (!ipc_key_exists(&g_msg_kind, key) && (key == IPC_PRIVATE || (flags & IPC_CREAT) != 0)) {
        q = kzalloc(sizeof(*q));
        if (q == NULL) {
            return -ENOMEM;
        }
        ipc_object_init(&q->o, key, flags);
        list_init(&q->msgs);
        q->bytes_max = MSG_QUEUE_MAX;
    }
    return ipc_get(&g_msg_kind, key, flags, q != NULL ? &q->o : NULL, NULL, 0);
}

/* ---- sending ---------------------------------------------------------------------------- */

/* Under the lock: 0, 1 when there is no room, or -errno.  The message is the queue's when 0. */
static int queue_put(struct msg_queue *q, struct msg *m) {
    if (q->o.removed) {
        return -EIDRM;
    }
    if (!ipc_permitted(&q->o, 0200)) {
        return -EACCES;
    }
    if (q->bytes + m->len > q->bytes_max || q->count + 1 > q->bytes_max) {
        return 1;
    }
    list_push_back(&q->msgs, &m->link);
    q->bytes += m->len;
    q->count++;
    q->stime = ktime_now().sec;
    q->send_pid = current->process->pid;
    return 0;
}

static int queue_send(struct msg_queue *q, struct msg *m, bool wait) {
    struct waiter w;
    waiter_init_task(&w, current);
    waitq_add(&q->o.waitq, &w);
    int err = 0, result;
    for (;;) {
        spin_lock(&q->o.lock);
        result = queue_put(q, m);
        spin_unlock(&q->o.lock);
        if (result != 1 || err != 0 || !wait) {
            break;
        }
        err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
    }
    waitq_remove(&w);
    if (result == 0) {
        waitq_wake(&q->o.waitq, UINT32_MAX);
    }
    return result != 1 ? result : (wait ? -EINTR : -EAGAIN);
}

static int msg_in(struct uaddr user, uint64_t len, struct msg **out) {
    int64_t type;
    int err = copyin(&type, user, sizeof(type));
    if (err != 0) {
        return err;
    }
    if (type < 1) {
        return -EINVAL;
    }
    struct msg *m = kmalloc(sizeof(*m) + len);
    if (m == NULL) {
        return -ENOMEM;
    }
    m->type = type;
    m->len = (uint32_t)len;
    err = len == 0 ? 0 : copyin(m->data, uaddr_add(user, sizeof(type)), len);
    if (err != 0) {
        kfree(m);
        return err;
    }
    *out = m;
    return 0;
}

int64_t sys_msgsnd(struct task *t, const struct sysargs *args) {
    struct msg *m;
    if (args->a[2] > MSG_SIZE_MAX) {
        return -EINVAL;
    }
    int err = msg_in(uaddr_of(args->a[1]), args->a[2], &m);
    if (err != 0) {
        return err;
    }
    struct ipc_object *o = ipc_find(&g_msg_kind, (int32_t)args->a[0]);
    err = o == NULL ? -EINVAL : queue_send(queue_of(o), m, (args->a[3] & IPC_NOWAIT) == 0);
    if (err != 0) {
        kfree(m);
    }
    ipc_put(&g_msg_kind, o);
    return err;
}

/* ---- receiving -------------------------------------------------------------------------- */

/* The message that msgrcv(2) would take, or NULL. */
static struct msg *queue_pick(struct msg_queue *q, int64_t type, uint32_t flags) {
    struct msg *m, *best = NULL;
    list_for_each_entry (m, &q->msgs, link) {
        if (type == 0 || (type > 0 && (m->type == type) == ((flags & MSG_OP_EXCEPT) == 0))) {
            return m;
        }
        /* Negative: the lowest type up to the absolute value. */
        if (type < 0 && (type == INT64_MIN || m->type <= -type) &&
            (best == NULL || m->type < best->type)) {
            best = m;
        }
    }
    return best;
}

/* Under the lock: 0 and *out, 1 when there is none, or -errno. */
static int queue_take(struct msg_queue *q, int64_t type, uint64_t room, uint32_t flags,
                      struct msg **out) {
    if (q->o.removed) {
        return -EIDRM;
    }
    if (!ipc_permitted(&q->o, 0400)) {
        return -EACCES;
    }
    struct msg *m = queue_pick(q, type, flags);
    if (m == NULL) {
        return 1;
    }
    if (m->len > room && (flags & MSG_OP_NOERROR) == 0) {
        return -E2BIG;
    }
    list_del_init(&m->link);
    q->bytes -= m->len;
    q->count--;
    q->rtime = ktime_now().sec;
    q->receive_pid = current->process->pid;
    *out = m;
    return 0;
}

static int queue_receive(struct msg_queue *q, int64_t type, uint64_t room, uint32_t flags,
                         struct msg **out) {
    struct waiter w;
    bool wait = (flags & IPC_NOWAIT) == 0;
    waiter_init_task(&w, current);
    waitq_add(&q->o.waitq, &w);
    int err = 0, result;
    for (;;) {
        spin_lock(&q->o.lock);
        result = queue_take(q, type, room, flags, out);
        spin_unlock(&q->o.lock);
        if (result != 1 || err != 0 || !wait) {
            break;
        }
        err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
    }
    waitq_remove(&w);
    if (result == 0) {
        waitq_wake(&q->o.waitq, UINT32_MAX);
    }
    return result != 1 ? result : (wait ? -EINTR : -ENOMSG);
}

static int64_t msg_out(const struct msg *m, struct uaddr user, uint64_t room) {
    uint64_t len = MIN((uint64_t)m->len, room);
    int err = copyout(user, &m->type, sizeof(m->type));
    if (err == 0 && len != 0) {
        err = copyout(uaddr_add(user, sizeof(m->type)), m->data, len);
    }
    return err != 0 ? err : (int64_t)len;
}

int64_t sys_msgrcv(struct task *t, const struct sysargs *args) {
    uint32_t flags = (uint32_t)args->a[4];
    if ((int64_t)args->a[2] < 0 || (flags & MSG_OP_COPY) != 0) {
        return (flags & MSG_OP_COPY) != 0 ? -ENOSYS : -EINVAL;
    }
    struct ipc_object *o = ipc_find(&g_msg_kind, (int32_t)args->a[0]);
    if (o == NULL) {
        return -EINVAL;
    }
    struct msg *m = NULL;
    int64_t result = queue_receive(queue_of(o), (int64_t)args->a[3], args->a[2], flags, &m);
    if (result == 0) {
        result = msg_out(m, uaddr_of(args->a[1]), args->a[2]);
        kfree(m);
    }
    ipc_put(&g_msg_kind, o);
    return result;
}

/* ---- msgctl ----------------------------------------------------------------------------- */

static int64_t queue_info(struct uaddr to) {
    int32_t count;
    ipc_put(&g_msg_kind, ipc_at(&g_msg_kind, -1, &count));
    struct user_msginfo info = {.msgmax = MSG_SIZE_MAX,
                                .msgmnb = MSG_QUEUE_MAX,
                                .msgmni = MSG_QUEUES_MAX,
                                .msgpool = count};
    int err = copyout(to, &info, sizeof(info));
    return err != 0 ? err : MAX(count - 1, 0);
}

static int64_t queue_stat(struct msg_queue *q, int cmd, struct uaddr to) {
    struct msqid64_ds ds;
    memset(&ds, 0, sizeof(ds));
    spin_lock(&q->o.lock);
    bool ok = cmd == MSG_CTL_STAT_ANY || ipc_permitted(&q->o, 0400);
    ipc_fill_perm(&q->o, &ds.msg_perm);
    ds.msg_stime = q->stime;
    ds.msg_rtime = q->rtime;
    ds.msg_ctime = q->o.ctime;
    ds.msg_cbytes = q->bytes;
    ds.msg_qnum = q->count;
    ds.msg_qbytes = q->bytes_max;
    ds.msg_lspid = q->send_pid;
    ds.msg_lrpid = q->receive_pid;
    spin_unlock(&q->o.lock);
    if (!ok) {
        return -EACCES;
    }
    int err = copyout(to, &ds, sizeof(ds));
    return err != 0 ? err : (cmd == IPC_STAT ? 0 : q->o.id);
}

static int64_t queue_set(struct msg_queue *q, struct uaddr from) {
    struct msqid64_ds ds;
    int err = copyin(&ds, from, sizeof(ds));
    if (err != 0) {
        return err;
    }
    spin_lock(&q->o.lock);
    bool larger = ds.msg_qbytes > MSG_QUEUE_MAX;
    err =
        !ipc_owned(&q->o) || larger ? -EPERM : 0; /* nobody raises the limit beyond the system's */
    if (err == 0) {
        ipc_set_perm(&q->o, &ds.msg_perm);
        q->bytes_max = ds.msg_qbytes;
    }
    spin_unlock(&q->o.lock);
    waitq_wake(&q->o.waitq, UINT32_MAX);
    return err;
}

static int64_t queue_remove(struct msg_queue *q) {
    spin_lock(&q->o.lock);
    bool ok = ipc_owned(&q->o);
    spin_unlock(&q->o.lock);
    if (!ok) {
        return -EPERM;
    }
    ipc_remove(&g_msg_kind, &q->o);
    return 0;
}

static void queue_show(struct seq *s, struct ipc_object *o) {
    const struct msg_queue *q = queue_of(o);
    seq_printf(s, "%10d %10d  %4o  %10llu %10llu %5d %5d %5u %5u %5u %5u %10lld %10lld %10lld\n",
               o->key, o->id, o->mode, (unsigned long long)q->bytes, (unsigned long long)q->count,
               q->send_pid, q->receive_pid, o->uid, o->gid, o->cuid, o->cgid, (long long)q->stime,
               (long long)q->rtime, (long long)o->ctime);
}

int msg_proc_show(struct seq *s) {
    seq_printf(s,
               "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  "
               "cgid      stime      rtime      ctime\n");
    ipc_show_all(&g_msg_kind, s, queue_show);
    return 0;
}

int64_t sys_msgctl(struct task *t, const struct sysargs *args) {
    int32_t id = (int32_t)args->a[0], count;
    int cmd = (int)args->a[1] & ~IPC_64;
    struct uaddr buf = uaddr_of(args->a[2]);
    if (cmd == IPC_INFO || cmd == MSG_CTL_INFO) {
        return queue_info(buf);
    }
    bool by_index = cmd == MSG_CTL_STAT || cmd == MSG_CTL_STAT_ANY;
    struct ipc_object *o = by_index ? ipc_at(&g_msg_kind, id, &count) : ipc_find(&g_msg_kind, id);
    if (o == NULL) {
        return -EINVAL;
    }
    int64_t result = -EINVAL;
    if (cmd == IPC_STAT || by_index) {
        result = queue_stat(queue_of(o), cmd, buf);
    } else if (cmd == IPC_SET) {
        result = queue_set(queue_of(o), buf);
    } else if (cmd == IPC_RMID) {
        result = queue_remove(queue_of(o));
    }
    ipc_put(&g_msg_kind, o);
    return result;
}
