/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Robust futex lists (set_robust_list(2)) and what a task owes the memory it leaves behind.
 * Trust: the list lies in guest memory and may be a loop or nonsense; the walk is bounded and
 * touches it by copyin only.
 */
#include "kernel/futex.h"

#include "kernel/cpu.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "syscall/syscall.h"

#include <asm-generic/errno.h>
#include <linux/futex.h>

struct robust_head { /* struct robust_list_head of user space */
    uint64_t next;
    int64_t futex_offset;
    uint64_t pending;
};

#define ENTRY_PI 1ull /* low bit of a list pointer: the lock is a PI futex */

int64_t sys_set_robust_list(struct task *t, const struct sysargs *args) {
    if (args->a[1] != sizeof(struct robust_head)) {
        return -EINVAL;
    }
    t->robust_list = uaddr_of(args->a[0]);
    t->robust_list_len = sizeof(struct robust_head);
    return 0;
}

int64_t sys_get_robust_list(struct task *t, const struct sysargs *args) {
    int32_t tid = (int32_t)args->a[0];
    struct task *target = tid == 0 ? t : task_find(tid);
    if (target == NULL) {
        return -ESRCH;
    }
    uint64_t head = target->robust_list.v, len = sizeof(struct robust_head);
    bool allowed =
        target->process == t->process || target->cred->uid == t->cred->uid || t->cred->euid == 0;
    if (target != t) {
        task_put(target);
    }
    if (!allowed) {
        return -EPERM;
    }
    int err = copyout(uaddr_of(args->a[2]), &len, sizeof(len));
    return err != 0 ? err : copyout(uaddr_of(args->a[1]), &head, sizeof(head));
}

/* The lock at `addr` may be held by the dying task: marks it and wakes one waiter. */
static void lock_died(struct task *t, struct uaddr addr, bool pi, bool pending) {
    uint32_t old, seen;
    if ((addr.v & 3) != 0 || user_load_u32(addr, &old) != 0) {
        return;
    }
    if (pending && !pi && old == 0) {
        (void)futex_wake_user(addr, 1, true); /* it died between unlocking and waking */
        return;
    }
    while ((old & FUTEX_TID_MASK) == (uint32_t)t->tid) {
        if (pi) {
            futex_pi_owner_died(t, addr, true);
            return;
        }
        uint32_t next = (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        if (user_cas_u32(addr, old, next, &seen) != 0) {
            return;
        }
        if (seen == old) {
            if ((old & FUTEX_WAITERS) != 0) {
                (void)futex_wake_user(addr, 1, true); /* nobody waits: nothing to do */
            }
            return;
        }
        old = seen;
    }
}

static void robust_walk(struct task *t) {
    struct robust_head head;
    struct uaddr start = t->robust_list;
    t->robust_list = uaddr_of(0);
    if (start.v == 0 || copyin(&head, start, sizeof(head)) != 0) {
        return;
    }
    uint64_t entry = head.next, pending = head.pending;
    for (int i = 0; i < ROBUST_LIST_LIMIT && (entry & ~ENTRY_PI) != start.v; i++) {
        uint64_t node = entry & ~ENTRY_PI, next;
        bool pi = (entry & ENTRY_PI) != 0;
        /* The successor is read first: waking may let another thread free this node. */
        bool more = copyin(&next, uaddr_of(node), sizeof(next)) == 0;
        if (node != (pending & ~ENTRY_PI)) {
            lock_died(t, uaddr_of(node + (uint64_t)head.futex_offset), pi, false);
        }
        if (!more) {
            break;
        }
        entry = next;
    }
    if (pending != 0) {
        uint64_t node = pending & ~ENTRY_PI;
        lock_died(t, uaddr_of(node + (uint64_t)head.futex_offset), (pending & ENTRY_PI) != 0, true);
    }
}

void futex_exit(struct task *t) {
    if (t->mm == NULL) {
        return;
    }
    robust_walk(t);
    struct uaddr tid_word = t->clear_child_tid;
    t->clear_child_tid = uaddr_of(0);
    if (tid_word.v != 0 && atomic_load(&t->mm->users) > 1) {
        uint32_t zero = 0;
        if (copyout(tid_word, &zero, sizeof(zero)) == 0) {
            (void)futex_wake_user(tid_word, 1, true); /* nobody waits: nothing to do */
        }
    }
}
