/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capget(2), capset(2), and the capability part of prctl(2).
 */
#include "kernel/process.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/prctl.h>
#include <linux/securebits.h>

/* Reads the header; 0 with the number of 32-bit words, or an error.  An unknown version is answered
 * with ours. */
static int cap_header(struct uaddr addr, int32_t *out_pid, uint32_t *out_words) {
    struct __user_cap_header_struct h;

    if (copyin(&h, addr, sizeof(h)) != 0) {
        return -EFAULT;
    }
    *out_pid = h.pid;
    switch (h.version) {
    case _LINUX_CAPABILITY_VERSION_1:
        *out_words = _LINUX_CAPABILITY_U32S_1;
        return 0;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        *out_words = _LINUX_CAPABILITY_U32S_3;
        return 0;
    default:
        h.version = _LINUX_CAPABILITY_VERSION_3;
        return copyout(addr, &h, sizeof(h)) != 0 ? -EFAULT : -EINVAL;
    }
}

int64_t sys_capget(struct task *t, const struct sysargs *args) {
    struct __user_cap_data_struct data[2] = {{0}};
    int32_t pid;
    uint32_t words;
    int err = cap_header(uaddr_of(args->a[0]), &pid, &words);

    if (err != 0) {
        return args->a[1] == 0 && err == -EINVAL ? 0 : err;
    }
    if (pid < 0) {
        return -EINVAL;
    }
    struct task *target = pid == 0 ? t : task_find(pid);
    if (target == NULL) {
        return -ESRCH;
    }
    const struct cred *c = task_cred_get(target);
    if (target != t) {
        task_put(target);
    }
    for (uint32_t i = 0; i < words; i++) {
        data[i].effective = (uint32_t)(c->cap_effective >> (32 * i));
        data[i].permitted = (uint32_t)(c->cap_permitted >> (32 * i));
        data[i].inheritable = (uint32_t)(c->cap_inheritable >> (32 * i));
    }
    cred_put(c);
    if (args->a[1] == 0) {
        return 0;
    }
    return copyout(uaddr_of(args->a[1]), data, words * sizeof(data[0]));
}

int64_t sys_capset(struct task *t, const struct sysargs *args) {
    struct __user_cap_data_struct data[2] = {{0}};
    const struct cred *old = t->cred;
    int32_t pid;
    uint32_t words;
    int err = cap_header(uaddr_of(args->a[0]), &pid, &words);

    if (err != 0) {
        return err;
    }
    if (pid != 0 && pid != t->tid) {
        return -EPERM;
    }
    if (copyin(data, uaddr_of(args->a[1]), words * sizeof(data[0])) != 0) {
        return -EFAULT;
    }
    uint64_t effective = (data[0].effective | (uint64_t)data[1].effective << 32) & CAP_FULL_SET;
    uint64_t permitted = (data[0].permitted | (uint64_t)data[1].permitted << 32) & CAP_FULL_SET;
    uint64_t inheritable =
        (data[0].inheritable | (uint64_t)data[1].inheritable << 32) & CAP_FULL_SET;

    /* The four rules of capabilities(7), "Programmatically adjusting capability sets". */
    if ((!capable(CAP_SETPCAP) &&
         (inheritable & ~(old->cap_inheritable | old->cap_permitted)) != 0) ||
        (inheritable & ~(old->cap_inheritable | old->cap_bounding)) != 0 ||
        (permitted & ~old->cap_permitted) != 0 || (effective & ~permitted) != 0) {
        return -EPERM;
    }
    struct cred *c = cred_prepare();
    if (c == NULL) {
        return -ENOMEM;
    }
    c->cap_effective = effective;
    c->cap_permitted = permitted;
    c->cap_inheritable = inheritable;
    c->cap_ambient &= permitted & inheritable;
    cred_commit(c);
    return 0;
}

static int64_t ambient_change(struct task *t, uint64_t set, uint64_t clear) {
    struct cred *c = cred_prepare();

    if (c == NULL) {
        return -ENOMEM;
    }
    c->cap_ambient = (c->cap_ambient | set) & ~clear;
    cred_commit(c);
    return 0;
}

static int64_t prctl_ambient(struct task *t, const struct sysargs *args) {
    uint64_t op = args->a[1];
    uint64_t cap = args->a[2];
    const struct cred *c = t->cred;

    if (args->a[3] != 0 || args->a[4] != 0) {
        return -EINVAL;
    }
    if (op == PR_CAP_AMBIENT_CLEAR_ALL) {
        return cap != 0 ? -EINVAL : ambient_change(t, 0, CAP_FULL_SET);
    }
    if (cap > CAP_LAST_MOAT) {
        return -EINVAL;
    }
    switch (op) {
    case PR_CAP_AMBIENT_IS_SET:
        return (c->cap_ambient >> cap) & 1;
    case PR_CAP_AMBIENT_RAISE:
        if ((c->cap_permitted & c->cap_inheritable & (1ull << cap)) == 0 ||
            (c->securebits & SECBIT_NO_CAP_AMBIENT_RAISE) != 0) {
            return -EPERM;
        }
        return ambient_change(t, 1ull << cap, 0);
    case PR_CAP_AMBIENT_LOWER:
        return ambient_change(t, 0, 1ull << cap);
    default:
        return -EINVAL;
    }
}

static int64_t prctl_set_securebits(struct task *t, uint64_t bits) {
    uint32_t old = t->cred->securebits;

    /* Locked bits stay as they are, locks stay on (capabilities(7), "The securebits flags"). */
    if ((bits & ~(uint64_t)(SECURE_ALL_LOCKS | SECURE_ALL_BITS)) != 0 ||
        (((old & SECURE_ALL_LOCKS) >> 1) & (old ^ bits)) != 0 ||
        ((old & SECURE_ALL_LOCKS) & ~bits) != 0 || !capable(CAP_SETPCAP)) {
        return -EPERM;
    }
    struct cred *c = cred_prepare();
    if (c == NULL) {
        return -ENOMEM;
    }
    c->securebits = (uint32_t)bits;
    cred_commit(c);
    return 0;
}

static int64_t prctl_bounding_drop(struct task *t, uint64_t cap) {
    if (!capable(CAP_SETPCAP)) {
        return -EPERM;
    }
    if (cap > CAP_LAST_MOAT) {
        return -EINVAL;
    }
    struct cred *c = cred_prepare();
    if (c == NULL) {
        return -ENOMEM;
    }
    c->cap_bounding &= ~(1ull << cap);
    cred_commit(c);
    return 0;
}

static int64_t prctl_keep_caps(struct task *t, uint64_t on) {
    if (on > 1) {
        return -EINVAL;
    }
    if ((t->cred->securebits & SECBIT_KEEP_CAPS_LOCKED) != 0) {
        return -EPERM;
    }
    struct cred *c = cred_prepare();
    if (c == NULL) {
        return -ENOMEM;
    }
    c->securebits = (c->securebits & ~(uint32_t)SECBIT_KEEP_CAPS) | (on ? SECBIT_KEEP_CAPS : 0);
    cred_commit(c);
    return 0;
}

bool prctl_capability(struct task *t, const struct sysargs *args, int64_t *out_result) {
    switch (args->a[0]) {
    case PR_CAPBSET_READ:
        *out_result = args->a[1] > CAP_LAST_MOAT
                          ? -EINVAL
                          : (int64_t)((t->cred->cap_bounding >> args->a[1]) & 1);
        return true;
    case PR_CAPBSET_DROP:
        *out_result = prctl_bounding_drop(t, args->a[1]);
        return true;
    case PR_CAP_AMBIENT:
        *out_result = prctl_ambient(t, args);
        return true;
    case PR_GET_SECUREBITS:
        *out_result = t->cred->securebits;
        return true;
    case PR_SET_SECUREBITS:
        *out_result = prctl_set_securebits(t, args->a[1]);
        return true;
    case PR_GET_KEEPCAPS:
        *out_result = (t->cred->securebits & SECBIT_KEEP_CAPS) != 0;
        return true;
    case PR_SET_KEEPCAPS:
        *out_result = prctl_keep_caps(t, args->a[1]);
        return true;
    default:
        return false;
    }
}
