/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V semaphores: semget(2), semop(2), semctl(2).
 *
 * The operations of a call are tried in order under the set's lock and taken back when one of them
 * has to wait; whoever changes a set wakes all who wait for it.
 */
#include "ipc/sem.h"

#include "base/string.h"
#include "fs/poll.h"
#include "fs/vfs.h"
#include "fs/seq.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/errno.h>
#include <asm/sembuf.h>

/* linux/sem.h cannot be included beside these names; its values. */
enum {
    SEM_GETPID = 11,
    SEM_GETVAL,
    SEM_GETALL,
    SEM_GETNCNT,
    SEM_GETZCNT,
    SEM_SETVAL,
    SEM_SETALL,
    SEM_STAT,
    SEM_INFO,
    SEM_STAT_ANY
};

#define SEM_OPS_INLINE 16u

struct user_sembuf {
    uint16_t num;
    int16_t op;
    int16_t flags;
};

struct user_seminfo {
    int32_t semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem;
};

static void sem_free(struct ipc_object *o) {
    kfree(sem_set_of(o));
}

struct ipc_kind g_sem_kind = IPC_KIND_INIT(g_sem_kind, SEM_SETS_MAX, sem_free);

/* ---- semget ----------------------------------------------------------------------------- */

static bool sem_fits(struct ipc_object *o, uint64_t count) {
    return count <= sem_set_of(o)->count;
}

int64_t sys_semget(struct task *t, const struct sysargs *args) {
    int32_t key = (int32_t)args->a[0];
    int32_t count = (int32_t)args->a[1];
    uint32_t flags = (uint32_t)args->a[2];
    if (count < 0 || count > (int32_t)SEM_COUNT_MAX) {
        return -EINVAL;
    }
    struct sem_set *set = NULL;
    if (!ipc_key_exists(&g_sem_kind, key) && (key == IPC_PRIVATE || (flags & IPC_CREAT) != 0)) {
        if (count == 0) {
            return -EINVAL;
        }
        set = kzalloc(sizeof(*set) + (uint32_t)count * sizeof(set->sems[0]));
        if (set == NULL) {
            return -ENOMEM;
        }
        ipc_object_init(&set->o, key, flags);
        list_init(&set->undos);
        set->count = (uint32_t)count;
    }
    return ipc_get(&g_sem_kind, key, flags, set != NULL ? &set->o : NULL, sem_fits,
                   (uint64_t)count);
}

/* ---- semop ------------------------------------------------------------------------------ */

struct sem_call {
    struct sem_set *set;
    const struct user_sembuf *ops;
    uint32_t count;
    bool alters;
    struct sem_undo *undo; /* NULL: no operation has SEM_UNDO */
    uint32_t blocked_at;   /* operation that has to wait */
};

/* One operation: 0, 1 when it has to wait, or -errno. */
static int sem_apply(struct sem_call *c, const struct user_sembuf *op) {
    struct sem *s = &c->set->sems[op->num];
    int32_t value = (int32_t)s->value + op->op;
    if (op->op == 0) {
        return s->value == 0 ? 0 : 1;
    }
    if (value < 0) {
        return 1;
    }
    if (value > SEM_VALUE_MAX) {
        return -ERANGE;
    }
    if ((op->flags & SEM_UNDO_FLAG) != 0) {
        int32_t adjust = c->undo->adjust[op->num] - op->op;
        if (adjust < -SEM_VALUE_MAX - 1 || adjust > SEM_VALUE_MAX) {
            return -ERANGE;
        }
        c->undo->adjust[op->num] = (int16_t)adjust;
    }
    s->value = (uint16_t)value;
    return 0;
}

static void sem_take_back(struct sem_call *c, uint32_t done) {
    while (done > 0) {
        const struct user_sembuf *op = &c->ops[--done];
        c->set->sems[op->num].value = (uint16_t)(c->set->sems[op->num].value - op->op);
        if ((op->flags & SEM_UNDO_FLAG) != 0) {
            c->undo->adjust[op->num] = (int16_t)(c->undo->adjust[op->num] + op->op);
        }
    }
}

/* All operations or none, under the set's lock: 0, 1 (wait), -EAGAIN, -ERANGE. */
static int sem_try(struct sem_call *c) {
    for (uint32_t i = 0; i < c->count; i++) {
        int r = sem_apply(c, &c->ops[i]);
        if (r != 0) {
            sem_take_back(c, i);
            c->blocked_at = i;
            return r == 1 && (c->ops[i].flags & IPC_NOWAIT) != 0 ? -EAGAIN : r;
        }
    }
    for (uint32_t i = 0; i < c->count; i++) {
        c->set->sems[c->ops[i].num].pid = current->process->pid;
    }
    c->set->otime = ktime_now().sec;
    return 0;
}

static uint32_t *sem_waiting_count(struct sem_call *c) {
    const struct user_sembuf *op = &c->ops[c->blocked_at];
    struct sem *s = &c->set->sems[op->num];
    return op->op == 0 ? &s->zero : &s->increase;
}

static int sem_check(struct sem_call *c) {
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->ops[i].num >= c->set->count) {
            return -EFBIG;
        }
    }
    return ipc_permitted(&c->set->o, c->alters ? 0200 : 0400) ? 0 : -EACCES;
}

/* Tries until it works: 0 or -errno. */
static int sem_run(struct sem_call *c, uint64_t deadline_ns) {
    struct ipc_object *o = &c->set->o;
    struct waiter w;
    uint32_t *counted = NULL;
    waiter_init_task(&w, current);
    waitq_add(&o->waitq, &w);
    int err = 0, result;
    for (;;) {
        spin_lock(&o->lock);
        if (counted != NULL) {
            (*counted)--;
            counted = NULL;
        }
        result = o->removed ? -EIDRM : sem_check(c);
        result = result == 0 ? sem_try(c) : result;
        if (result == 1 && err == 0) {
            counted = sem_waiting_count(c);
            (*counted)++;
        }
        spin_unlock(&o->lock);
        if (result != 1 || err != 0) {
            break;
        }
        err = task_block(deadline_ns, BLOCK_INTERRUPTIBLE);
    }
    waitq_remove(&w);
    if (result == 0 && c->alters) {
        waitq_wake(&o->waitq, UINT32_MAX);
    }
    return result != 1 ? result : (err == -ETIMEDOUT ? -EAGAIN : -EINTR);
}

static int64_t sem_call(int32_t id, const struct user_sembuf *ops, uint32_t count,
                        uint64_t deadline_ns) {
    struct ipc_object *o = ipc_find(&g_sem_kind, id);
    if (o == NULL) {
        return -EINVAL;
    }
    struct sem_call c = {.set = sem_set_of(o), .ops = ops, .count = count};
    bool undo = false;
    for (uint32_t i = 0; i < count; i++) {
        c.alters = c.alters || ops[i].op != 0;
        undo = undo || (ops[i].flags & SEM_UNDO_FLAG) != 0;
    }
    int err = undo ? sem_undo_get(c.set, &c.undo) : 0;
    if (err == 0) {
        err = sem_run(&c, deadline_ns);
    }
    ipc_put(&g_sem_kind, o);
    return err;
}

static int64_t sem_op_user(const struct sysargs *args, uint64_t deadline_ns) {
    uint32_t count = (uint32_t)args->a[2];
    if (count == 0) {
        return -EINVAL;
    }
    if (count > SEM_OPS_MAX) {
        return -E2BIG;
    }
    struct user_sembuf inline_ops[SEM_OPS_INLINE];
    struct user_sembuf *ops = count <= SEM_OPS_INLINE ? inline_ops : kmalloc(count * sizeof(*ops));
    if (ops == NULL) {
        return -ENOMEM;
    }
    int64_t result = copyin(ops, uaddr_of(args->a[1]), count * sizeof(*ops));
    if (result == 0) {
        result = sem_call((int32_t)args->a[0], ops, count, deadline_ns);
    }
    if (ops != inline_ops) {
        kfree(ops);
    }
    return result;
}

int64_t sys_semop(struct task *t, const struct sysargs *args) {
    return sem_op_user(args, NO_DEADLINE);
}

int64_t sys_semtimedop(struct task *t, const struct sysargs *args) {
    uint64_t deadline_ns;
    int err = poll_deadline_user(uaddr_of(args->a[3]), &deadline_ns);
    return err != 0 ? err : sem_op_user(args, deadline_ns);
}

/* ---- semctl ----------------------------------------------------------------------------- */

static int64_t sem_info(int cmd, struct uaddr to) {
    int32_t count;
    ipc_put(&g_sem_kind, ipc_at(&g_sem_kind, -1, &count));
    struct user_seminfo info = {.semmni = SEM_SETS_MAX,
                                .semmns = INT32_MAX,
                                .semmsl = SEM_COUNT_MAX,
                                .semopm = SEM_OPS_MAX,
                                .semume = SEM_OPS_MAX,
                                .semvmx = SEM_VALUE_MAX,
                                .semaem = SEM_VALUE_MAX};
    info.semusz = cmd == SEM_INFO ? count : 0;
    int err = copyout(to, &info, sizeof(info));
    return err != 0 ? err : MAX(count - 1, 0);
}

static int64_t sem_stat(struct sem_set *set, int cmd, struct uaddr to) {
    struct semid64_ds ds;
    memset(&ds, 0, sizeof(ds));
    spin_lock(&set->o.lock);
    bool ok = cmd == SEM_STAT_ANY || ipc_permitted(&set->o, 0400);
    ipc_fill_perm(&set->o, &ds.sem_perm);
    ds.sem_otime = set->otime;
    ds.sem_ctime = set->o.ctime;
    ds.sem_nsems = set->count;
    spin_unlock(&set->o.lock);
    if (!ok) {
        return -EACCES;
    }
    int err = copyout(to, &ds, sizeof(ds));
    return err != 0 ? err : (cmd == IPC_STAT ? 0 : set->o.id);
}

static int64_t sem_set_owner(struct sem_set *set, struct uaddr from) {
    struct semid64_ds ds;
    int err = copyin(&ds, from, sizeof(ds));
    if (err != 0) {
        return err;
    }
    spin_lock(&set->o.lock);
    err = ipc_owned(&set->o) ? 0 : -EPERM;
    if (err == 0) {
        ipc_set_perm(&set->o, &ds.sem_perm);
    }
    spin_unlock(&set->o.lock);
    return err;
}

static int64_t sem_remove(struct sem_set *set) {
    spin_lock(&set->o.lock);
    bool ok = ipc_owned(&set->o);
    spin_unlock(&set->o.lock);
    if (!ok) {
        return -EPERM;
    }
    ipc_remove(&g_sem_kind, &set->o);
    return 0;
}

static int64_t sem_get_all(struct sem_set *set, struct uaddr to) {
    uint16_t *values = kcalloc(set->count, sizeof(*values));
    if (values == NULL) {
        return -ENOMEM;
    }
    spin_lock(&set->o.lock);
    int err = ipc_permitted(&set->o, 0400) ? 0 : -EACCES;
    for (uint32_t i = 0; i < set->count; i++) {
        values[i] = set->sems[i].value;
    }
    spin_unlock(&set->o.lock);
    if (err == 0) {
        err = copyout(to, values, set->count * sizeof(*values));
    }
    kfree(values);
    return err;
}

static int sem_store(struct sem_set *set, uint32_t first, uint32_t count, const uint16_t *values) {
    spin_lock(&set->o.lock);
    int err = set->o.removed ? -EIDRM : (ipc_permitted(&set->o, 0200) ? 0 : -EACCES);
    for (uint32_t i = 0; err == 0 && i < count; i++) {
        set->sems[first + i].value = values[i];
        set->sems[first + i].pid = current->process->pid;
    }
    if (err == 0) {
        sem_undo_clear(set, first, count);
        set->o.ctime = ktime_now().sec;
    }
    spin_unlock(&set->o.lock);
    if (err == 0) {
        waitq_wake(&set->o.waitq, UINT32_MAX);
    }
    return err;
}

static int64_t sem_set_all(struct sem_set *set, struct uaddr from) {
    uint16_t *values = kcalloc(set->count, sizeof(*values));
    if (values == NULL) {
        return -ENOMEM;
    }
    int err = copyin(values, from, set->count * sizeof(*values));
    for (uint32_t i = 0; err == 0 && i < set->count; i++) {
        err = values[i] > SEM_VALUE_MAX ? -ERANGE : 0;
    }
    if (err == 0) {
        err = sem_store(set, 0, set->count, values);
    }
    kfree(values);
    return err;
}

static int64_t sem_one(struct sem_set *set, int32_t num, int cmd, uint64_t arg) {
    if (num < 0 || (uint32_t)num >= set->count) {
        return -EINVAL;
    }
    if (cmd == SEM_SETVAL) {
        int32_t value = (int32_t)arg;
        uint16_t stored = (uint16_t)value;
        return value < 0 || value > SEM_VALUE_MAX ? -ERANGE
                                                  : sem_store(set, (uint32_t)num, 1, &stored);
    }
    spin_lock(&set->o.lock);
    const struct sem *s = &set->sems[num];
    int64_t result = -EACCES;
    if (ipc_permitted(&set->o, 0400)) {
        result = cmd == SEM_GETVAL    ? s->value
                 : cmd == SEM_GETPID  ? s->pid
                 : cmd == SEM_GETNCNT ? (int64_t)s->increase
                                      : (int64_t)s->zero;
    }
    spin_unlock(&set->o.lock);
    return result;
}

static int64_t sem_control(struct sem_set *set, int32_t num, int cmd, uint64_t arg) {
    switch (cmd) {
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        return sem_stat(set, cmd, uaddr_of(arg));
    case IPC_SET:
        return sem_set_owner(set, uaddr_of(arg));
    case IPC_RMID:
        return sem_remove(set);
    case SEM_GETALL:
        return sem_get_all(set, uaddr_of(arg));
    case SEM_SETALL:
        return sem_set_all(set, uaddr_of(arg));
    case SEM_GETVAL:
    case SEM_GETPID:
    case SEM_GETNCNT:
    case SEM_GETZCNT:
    case SEM_SETVAL:
        return sem_one(set, num, cmd, arg);
    default:
        return -EINVAL;
    }
}

static void sem_show(struct seq *s, struct ipc_object *o) {
    const struct sem_set *set = sem_set_of(o);
    seq_printf(s, "%10d %10d  %4o %10u %5u %5u %5u %5u %10lld %10lld\n", o->key, o->id, o->mode,
               set->count, o->uid, o->gid, o->cuid, o->cgid, (long long)set->otime,
               (long long)o->ctime);
}

int sem_proc_show(struct seq *s) {
    seq_printf(s, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      "
                  "ctime\n");
    ipc_show_all(&g_sem_kind, s, sem_show);
    return 0;
}

int64_t sys_semctl(struct task *t, const struct sysargs *args) {
    int32_t id = (int32_t)args->a[0];
    int cmd = (int)args->a[2] & ~IPC_64;
    int32_t count;
    if (cmd == IPC_INFO || cmd == SEM_INFO) {
        return sem_info(cmd, uaddr_of(args->a[3]));
    }
    bool by_index = cmd == SEM_STAT || cmd == SEM_STAT_ANY;
    struct ipc_object *o = by_index ? ipc_at(&g_sem_kind, id, &count) : ipc_find(&g_sem_kind, id);
    if (o == NULL) {
        return -EINVAL;
    }
    int64_t result = sem_control(sem_set_of(o), (int32_t)args->a[1], cmd, args->a[3]);
    ipc_put(&g_sem_kind, o);
    return result;
}
