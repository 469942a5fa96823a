/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp(2): see seccomp.h.  Sources: seccomp(2), prctl(2), linux/seccomp.h. */
#include "kernel/seccomp.h"

#include "base/string.h"
#include "fs/vfs.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/process.h"
#include "kernel/seccomp_bpf.h"
#include "kernel/seccomp_notify.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm-generic/siginfo.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/errno.h>

#define CALLS            512u   /* numbers whose verdict is remembered */
#define CHAIN_INSNS_MAX  32768u /* of all filters of a chain, with CHAIN_INSNS_EACH a filter */
#define CHAIN_INSNS_EACH 4u
#define KNOWN_FLAGS                                                                                \
    (SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |        \
     SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_NEW_LISTENER |                          \
     SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)

struct seccomp_filter {
    struct refcount ref;
    struct seccomp_filter *prev;       /* older, referenced */
    uint32_t depth;                    /* filters in the chain */
    uint32_t total;                    /* instructions in the chain, as they count */
    bool log;                          /* SECCOMP_FILTER_FLAG_LOG */
    struct seccomp_listener *listener; /* referenced, or NULL */
    uint64_t checked[CALLS / 64];      /* atomic: `allowed` says what the chain does with it */
    uint64_t allowed[CALLS / 64];      /* atomic: allowed whatever the arguments are */
    uint32_t count;
    struct sock_filter code[];
};

/* ---- filters ---- */

static struct seccomp_filter *filter_alloc(uint32_t count) {
    struct seccomp_filter *f = kzalloc(sizeof(*f) + (size_t)count * sizeof(f->code[0]));

    if (f != NULL) {
        ref_init(&f->ref);
        f->count = count;
        f->depth = 1;
        f->total = count + CHAIN_INSNS_EACH;
    }
    return f;
}

void seccomp_filter_put(struct seccomp_filter *f) {
    while (f != NULL && ref_put(&f->ref)) {
        struct seccomp_filter *prev = f->prev;
        seccomp_listener_orphan(f->listener);
        kfree(f);
        f = prev;
    }
}

int seccomp_filter_create(const struct sock_filter *code, uint32_t count, bool log,
                          struct seccomp_filter **out) {
    int err = seccomp_bpf_check(code, count);

    if (err != 0) {
        return err;
    }
    *out = filter_alloc(count);
    if (*out == NULL) {
        return -ENOMEM;
    }
    memcpy((*out)->code, code, (size_t)count * sizeof(*code));
    (*out)->log = log;
    return 0;
}

/* From now on every call is looked at, also one that call sites answered by themselves. */
static void mode_set(struct task *t, uint32_t mode) {
    atomic_store(&t->seccomp_mode, mode);
    if (t->pthread != NULL) {
        platform_thread_pid(t->pthread, 0);
    }
}

void seccomp_set(struct task *t, struct seccomp_filter *f) {
    if (f != NULL) {
        ref_get(&f->ref);
        atomic_store(&t->seccomp, f);
        mode_set(t, SECCOMP_MODE_FILTER);
    }
}

void seccomp_fork(struct task *t, struct task *child) {
    seccomp_set(child, t->seccomp);
    child->seccomp_mode = t->seccomp_mode;
    child->no_new_privs = t->no_new_privs; /* TSYNC sets both */
}

void seccomp_exit(struct task *t) {
    spin_lock(&t->process->sig_lock);
    struct seccomp_filter *f = t->seccomp;
    atomic_store(&t->seccomp, NULL);
    spin_unlock(&t->process->sig_lock);
    seccomp_filter_put(f);
}

uint32_t seccomp_filter_count(struct task *t) {
    spin_lock(&t->process->sig_lock);
    uint32_t depth = t->seccomp != NULL ? t->seccomp->depth : 0;
    spin_unlock(&t->process->sig_lock);
    return depth;
}

/* ---- verdicts ---- */

static bool chain_always_allows(const struct seccomp_filter *head, uint32_t nr) {
    for (const struct seccomp_filter *f = head; f != NULL; f = f->prev) {
        if (!seccomp_bpf_always_allows(f->code, f->count, (int32_t)nr, AUDIT_ARCH_X86_64)) {
            return false;
        }
    }
    return true;
}

/* One bit, worked out when the call is first made. */
static bool known_allowed(struct seccomp_filter *head, uint64_t nr) {
    if (nr >= CALLS) {
        return false;
    }
    uint64_t bit = 1ull << (nr % 64);
    if (unlikely((atomic_load(&head->checked[nr / 64]) & bit) == 0)) {
        if (chain_always_allows(head, (uint32_t)nr)) {
            (void)atomic_fetch_or(&head->allowed[nr / 64], bit);
        }
        (void)atomic_fetch_or(&head->checked[nr / 64], bit);
    }
    return (atomic_load(&head->allowed[nr / 64]) & bit) != 0;
}

/* The strictest answer of all filters; of equal ones the newest filter's. */
static uint32_t chain_run(const struct seccomp_filter *head, const struct seccomp_data *data,
                          const struct seccomp_filter **out_match) {
    uint32_t result = SECCOMP_RET_ALLOW;

    *out_match = head;
    for (const struct seccomp_filter *f = head; f != NULL; f = f->prev) {
        uint32_t r = seccomp_bpf_run(f->code, f->count, data);
        /* Actions are ordered as signed numbers: KILL_PROCESS is the least. */
        if ((int32_t)(r & SECCOMP_RET_ACTION_FULL) < (int32_t)(result & SECCOMP_RET_ACTION_FULL)) {
            result = r;
            *out_match = f;
        }
    }
    return result;
}

static void tell(struct task *t, uint64_t nr, uint32_t action) {
    dmesg_add("audit: type=1326 uid=%u pid=%d comm=\"%s\" arch=%x syscall=%lu code=0x%x",
              t->cred->uid, t->process->pid, t->comm, AUDIT_ARCH_X86_64, nr, action);
}

static void send_sigsys(struct task *t, uint64_t nr, uint16_t reason) {
    struct ksiginfo info = {.signo = SIGSYS, .error = reason, .code = SYS_SECCOMP};

    info.u.sys.call_addr = t->trap.u.syscall.ip;
    info.u.sys.syscall = (int32_t)nr;
    info.u.sys.arch = AUDIT_ARCH_X86_64;
    signal_force(t, &info);
}

/* KILL_THREAD of a process's only thread ends it as KILL_PROCESS does. */
static noreturn_fn void kill_by_filter(struct task *t, uint64_t nr, uint32_t action) {
    tell(t, nr, action);
    if (action == SECCOMP_RET_KILL_THREAD && atomic_load(&t->process->live) > 1) {
        task_exit(SIGSYS);
    }
    process_exit_group(SIGSYS);
}

/* `result` is what the filter f says of the call; true: it shall be made. */
static bool apply(struct task *t, const struct seccomp_filter *f, const struct seccomp_data *data,
                  uint32_t result, int64_t *out_result) {
    uint32_t action = result & SECCOMP_RET_ACTION_FULL;
    uint32_t value = result & SECCOMP_RET_DATA;
    uint64_t nr = (uint32_t)data->nr;

    switch (action) {
    case SECCOMP_RET_ALLOW:
        return true;
    case SECCOMP_RET_LOG:
        tell(t, nr, action);
        return true;
    case SECCOMP_RET_ERRNO:
        *out_result = -(int64_t)MIN(value, 4095u);
        break;
    case SECCOMP_RET_TRAP:
        send_sigsys(t, nr, (uint16_t)value);
        *out_result = (int64_t)nr; /* the handler sees the register as it was at the call */
        break;
    case SECCOMP_RET_TRACE: /* nobody can trace: seccomp(2) says ENOSYS then */
        *out_result = -ENOSYS;
        break;
    case SECCOMP_RET_USER_NOTIF: /* likewise without a listener */
        *out_result = -ENOSYS;
        if (f->listener != NULL && seccomp_notify(t, f->listener, data, out_result)) {
            return true;
        }
        break;
    default: /* KILL_PROCESS, KILL_THREAD, and values that mean nothing */
        kill_by_filter(t, nr, action);
    }
    if (f->log) {
        tell(t, nr, action);
    }
    return false;
}

static bool strict_allows(uint64_t nr) {
    return nr == __NR_read || nr == __NR_write || nr == __NR_exit || nr == __NR_rt_sigreturn;
}

bool seccomp_enter(struct task *t, uint64_t nr, const struct sysargs *args, int64_t *out_result) {
    const struct seccomp_filter *match;

    if (atomic_load(&t->seccomp_mode) == SECCOMP_MODE_STRICT) {
        if (!strict_allows(nr)) {
            tell(t, nr, SECCOMP_RET_KILL_THREAD);
            task_exit(SIGKILL);
        }
        return true;
    }
    struct seccomp_filter *head = atomic_load(&t->seccomp);
    if (likely(known_allowed(head, nr))) {
        return true;
    }
    struct seccomp_data data = {
        .nr = (int)nr, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = t->trap.u.syscall.ip};
    for (int i = 0; i < 6; i++) {
        data.args[i] = args->a[i];
    }
    uint32_t result = chain_run(head, &data, &match);
    return apply(t, match, &data, result, out_result);
}

bool seccomp_allows(struct task *t, uint64_t nr) {
    uint32_t mode = atomic_load(&t->seccomp_mode);

    if (mode == SECCOMP_MODE_DISABLED) {
        return true;
    }
    return mode == SECCOMP_MODE_STRICT ? strict_allows(nr)
                                       : known_allowed(atomic_load(&t->seccomp), nr);
}

/* ---- installing ---- */

static bool is_ancestor(const struct seccomp_filter *old, const struct seccomp_filter *f) {
    if (old == NULL) {
        return true;
    }
    while (f != NULL && f != old) {
        f = f->prev;
    }
    return f != NULL;
}

/* The first other thread that cannot take the caller's chain, 0 when all can; sig_lock held. */
static int32_t sync_obstacle(struct task *t) {
    struct task *other;

    list_for_each_entry (other, &t->process->threads, thread_link) {
        bool ok =
            other->seccomp_mode == SECCOMP_MODE_DISABLED ||
            (other->seccomp_mode == SECCOMP_MODE_FILTER && is_ancestor(other->seccomp, t->seccomp));
        if (other != t && !ok) {
            return other->tid;
        }
    }
    return 0;
}

/* Gives the caller's chain to all threads; their old ones are part of it.  sig_lock held. */
static void sync_threads(struct task *t) {
    struct task *other;

    list_for_each_entry (other, &t->process->threads, thread_link) {
        if (other == t) {
            continue;
        }
        struct seccomp_filter *old = other->seccomp;
        seccomp_set(other, t->seccomp);
        other->no_new_privs = other->no_new_privs || t->no_new_privs;
        seccomp_filter_put(old); /* not the last reference: the new chain holds it */
    }
}

/* seccomp(2): EBUSY; a chain has one supervisor at a time. */
static bool has_listener(const struct seccomp_filter *f) {
    while (f != NULL && !seccomp_listener_active(f->listener)) {
        f = f->prev;
    }
    return f != NULL;
}

static int attach(struct task *t, struct seccomp_filter *f, uint32_t flags) {
    struct process *p = t->process;
    int result = 0;

    spin_lock(&p->sig_lock);
    uint32_t before = t->seccomp != NULL ? t->seccomp->total : 0;
    if (t->seccomp_mode == SECCOMP_MODE_STRICT) {
        result = -EINVAL;
    } else if (before + f->total > CHAIN_INSNS_MAX) {
        result = -ENOMEM;
    } else if (f->listener != NULL && has_listener(t->seccomp)) {
        result = -EBUSY;
    } else if ((flags & SECCOMP_FILTER_FLAG_TSYNC) != 0) {
        result = sync_obstacle(t);
        if (result != 0 && (flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH) != 0) {
            result = -ESRCH;
        }
    }
    if (result == 0) {
        f->prev = t->seccomp; /* with the task's reference */
        f->depth += f->prev != NULL ? f->prev->depth : 0;
        f->total += before;
        atomic_store(&t->seccomp, f); /* and f's to the task */
        mode_set(t, SECCOMP_MODE_FILTER);
        if ((flags & SECCOMP_FILTER_FLAG_TSYNC) != 0) {
            sync_threads(t);
        }
    }
    spin_unlock(&p->sig_lock);
    return result;
}

static bool flags_fit(uint32_t flags) {
    bool listener = (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0;
    bool by_number =
        (flags & SECCOMP_FILTER_FLAG_TSYNC) != 0 && (flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH) == 0;

    return (flags & ~(uint32_t)KNOWN_FLAGS) == 0 &&
           (listener || (flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) == 0) &&
           !(listener && by_number); /* a thread's id or a descriptor: which would it be? */
}

/* attach with a listener for the filter: its descriptor, or -errno. */
static int attach_listener(struct task *t, struct seccomp_filter *f, uint32_t flags) {
    struct file *file;
    int err = seccomp_listener_create((flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) != 0,
                                      &f->listener, &file);

    if (err != 0) {
        return err;
    }
    int fd = fd_give(file, true);
    if (fd < 0) {
        return fd;
    }
    err = attach(t, f, flags);
    if (err != 0) {
        (void)fd_close(fd); /* nobody else has used it */
    }
    return err != 0 ? err : fd;
}

static int64_t set_filter(struct task *t, uint32_t flags, uint64_t program) {
    struct sock_fprog prog;
    struct seccomp_filter *f = NULL;

    if (!flags_fit(flags)) {
        return -EINVAL;
    }
    if (copyin(&prog, uaddr_of(program), sizeof(prog)) != 0) {
        return -EFAULT;
    }
    if (prog.len == 0 || prog.len > SECCOMP_INSNS_MAX) {
        return -EINVAL;
    }
    if (!t->no_new_privs && !capable(CAP_SYS_ADMIN)) {
        return -EACCES;
    }
    size_t size = prog.len * sizeof(struct sock_filter);
    struct sock_filter *code = kmalloc(size);
    int err = code == NULL ? -ENOMEM : copyin(code, uaddr_of((uintptr_t)prog.filter), size);
    if (err == 0) {
        err = seccomp_filter_create(code, prog.len, (flags & SECCOMP_FILTER_FLAG_LOG) != 0, &f);
    }
    kfree(code);
    if (err == 0) {
        bool listener = (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0;
        err = listener ? attach_listener(t, f, flags) : attach(t, f, flags);
        if (listener ? err < 0 : err != 0) {
            seccomp_filter_put(f);
        }
    }
    return err;
}

static int64_t set_strict(struct task *t) {
    struct process *p = t->process;
    int err = 0;

    spin_lock(&p->sig_lock);
    if (t->seccomp_mode == SECCOMP_MODE_FILTER) {
        err = -EINVAL;
    } else {
        mode_set(t, SECCOMP_MODE_STRICT);
    }
    spin_unlock(&p->sig_lock);
    return err;
}

static int64_t action_available(uint64_t addr) {
    uint32_t action;

    if (copyin(&action, uaddr_of(addr), sizeof(action)) != 0) {
        return -EFAULT;
    }
    switch (action) {
    case SECCOMP_RET_KILL_PROCESS:
    case SECCOMP_RET_KILL_THREAD:
    case SECCOMP_RET_TRAP:
    case SECCOMP_RET_ERRNO:
    case SECCOMP_RET_USER_NOTIF:
    case SECCOMP_RET_TRACE:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_ALLOW:
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

static int64_t notif_sizes(uint64_t addr) {
    struct seccomp_notif_sizes sizes = {.seccomp_notif = sizeof(struct seccomp_notif),
                                        .seccomp_notif_resp = sizeof(struct seccomp_notif_resp),
                                        .seccomp_data = sizeof(struct seccomp_data)};
    return copyout(uaddr_of(addr), &sizes, sizeof(sizes));
}

int64_t sys_seccomp(struct task *t, const struct sysargs *args) {
    uint32_t flags = (uint32_t)args->a[1];
    uint64_t arg = args->a[2];

    switch ((uint32_t)args->a[0]) {
    case SECCOMP_SET_MODE_STRICT:
        return flags != 0 || arg != 0 ? -EINVAL : set_strict(t);
    case SECCOMP_SET_MODE_FILTER:
        return set_filter(t, flags, arg);
    case SECCOMP_GET_ACTION_AVAIL:
        return flags != 0 ? -EINVAL : action_available(arg);
    case SECCOMP_GET_NOTIF_SIZES:
        return flags != 0 ? -EINVAL : notif_sizes(arg);
    default:
        return -EINVAL;
    }
}

int64_t seccomp_prctl_set(struct task *t, uint64_t mode, uint64_t program) {
    switch (mode) {
    case SECCOMP_MODE_STRICT:
        return set_strict(t);
    case SECCOMP_MODE_FILTER:
        return set_filter(t, 0, program);
    default:
        return -EINVAL;
    }
}

int64_t seccomp_prctl_get(struct task *t) {
    return (int64_t)atomic_load(&t->seccomp_mode);
}
