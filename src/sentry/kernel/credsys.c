/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User and group ids: setuid(2), setreuid(2), setresuid(2), setfsuid(2), setgroups(2) and what
 * capabilities(7) says under "Effect of user ID changes on capabilities".
 */
#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/securebits.h>

#define ID_KEEP UINT32_MAX /* -1: leave as it is */

/* Capabilities that fsuid 0 carries (capabilities(7)). */
#define CAP_FS_SET                                                                                 \
    ((1ull << CAP_CHOWN) | (1ull << CAP_DAC_OVERRIDE) | (1ull << CAP_DAC_READ_SEARCH) |            \
     (1ull << CAP_FOWNER) | (1ull << CAP_FSETID) | (1ull << CAP_LINUX_IMMUTABLE) |                 \
     (1ull << CAP_MAC_OVERRIDE) | (1ull << CAP_MKNOD))

static bool has_root_id(const struct cred *c) {
    return c->uid == 0 || c->euid == 0 || c->suid == 0;
}

static void caps_follow_fsuid(const struct cred *old, struct cred *c) {
    if ((c->securebits & SECBIT_NO_SETUID_FIXUP) != 0) {
        return;
    }
    if (old->fsuid == 0 && c->fsuid != 0) {
        c->cap_effective &= ~CAP_FS_SET;
    } else if (old->fsuid != 0 && c->fsuid == 0) {
        c->cap_effective |= c->cap_permitted & CAP_FS_SET;
    }
}

static void caps_follow_uids(const struct cred *old, struct cred *c) {
    if ((c->securebits & SECBIT_NO_SETUID_FIXUP) != 0) {
        return;
    }
    if (has_root_id(old) && !has_root_id(c)) {
        if ((c->securebits & SECBIT_KEEP_CAPS) == 0) {
            c->cap_permitted = 0;
            c->cap_effective = 0;
        }
        c->cap_ambient = 0;
    }
    if (old->euid == 0 && c->euid != 0) {
        c->cap_effective = 0;
    }
    if (old->euid != 0 && c->euid == 0) {
        c->cap_effective = c->cap_permitted;
    }
}

static int64_t commit_uids(const struct cred *old, struct cred *c) {
    c->fsuid = c->euid;
    caps_follow_uids(old, c);
    cred_commit(c);
    return 0;
}

int64_t sys_setuid(struct task *t, const struct sysargs *args) {
    uint32_t uid = (uint32_t)args->a[0];
    const struct cred *old = t->cred;

    if (uid == ID_KEEP) {
        return -EINVAL;
    }
    if (!capable(CAP_SETUID) && uid != old->uid && uid != old->suid) {
        return -EPERM;
    }
    struct cred *c = cred_prepare();
    if (c == NULL) {
        return -ENOMEM;
    }
    if (capable(CAP_SETUID)) {
        c->uid = uid;
        c->suid = uid;
    }
    c->euid = uid;
    return commit_uids(old, c);
}

int64_t sys_setreuid(struct task *t, const struct sysargs *args) {
    uint32_t ruid = (uint32_t)args->a[0];
    uint32_t euid = (uint32_t)args->a[1];
    const struct cred *old = t->cred;

    if (!capable(CAP_SETUID)) {
        if (ruid != ID_KEEP && ruid != old->uid && ruid != old->euid) {
            return -EPERM;
        }
        if (euid != ID_KEEP && euid != old->uid && euid != old->euid && euid != old->suid) {
            return -EPERM;
        }
    }
    struct cred *c = cred_prepare();
    if (c == NULL) {
        return -ENOMEM;
    }
    c->uid = ruid == ID_KEEP ? old->uid : ruid;
    c->euid = euid == ID_KEEP ? old->euid : euid;
    if (ruid != ID_KEEP || (euid != ID_KEEP && euid != old->uid)) {
        c->suid = c->euid;
    }
    return commit_uids(old, c);
}

static bool id_is_one_of(uint32_t id, uint32_t a, uint32_t b, uint32_t c) {
    return id == ID_KEEP || id == a || id == b || id == c;
}

int64_t sys_setresuid(struct task *t, const struct sysargs *args) {
    uint32_t ids[3] = {(uint32_t)args->a[0], (uint32_t)args->a[1], (uint32_t)args->a[2]};
    const struct cred *old = t->cred;

    for (int i = 0; i < 3; i++) {
        if (!id_is_one_of(ids[i], old->uid, old->euid, old->suid) && !capable(CAP_SETUID)) {
            return -EPERM;
        }
    }
    struct cred *c = cred_prepare();
    if (c == NULL) {
        return -ENOMEM;
    }
    c->uid = ids[0] == ID_KEEP ? old->uid : ids[0];
    c->euid = ids[1] == ID_KEEP ? old->euid : ids[1];
    c->suid = ids[2] == ID_KEEP ? old->suid : ids[2];
    return commit_uids(old, c);
}

int64_t sys_setfsuid(struct task *t, const struct sysargs *args) {
    uint32_t uid = (uint32_t)args->a[0];
    const struct cred *old = t->cred;
    uint32_t before = old->fsuid;

    if (uid == ID_KEEP ||
        (uid != old->fsuid && !id_is_one_of(uid, old->uid, old->euid, old->suid) &&
         !capable(CAP_SETUID))) {
        return before;
    }
    struct cred *c = cred_prepare();
    if (c != NULL) {
        c->fsuid = uid;
        caps_follow_fsuid(old, c);
        cred_commit(c);
    }
    return before;
}

int64_t sys_setgid(struct task *t, const struct sysargs *args) {
    uint32_t gid = (uint32_t)args->a[0];
    const struct cred *old = t->cred;

    if (gid == ID_KEEP) {
        return -EINVAL;
    }
    if (!capable(CAP_SETGID) && gid != old->gid && gid != old->sgid) {
        return -EPERM;
    }
    struct cred *c = cred_prepare();
    if (c == NULL) {
        return -ENOMEM;
    }
    if (capable(CAP_SETGID)) {
        c->gid = gid;
        c->sgid = gid;
    }
    c->egid = gid;
    c->fsgid = gid;
    cred_commit(c);
    return 0;
}

int64_t sys_setregid(struct task *t, const struct sysargs *args) {
    uint32_t rgid = (uint32_t)args->a[0];
    uint32_t egid = (uint32_t)args->a[1];
    const struct cred *old = t->cred;

    if (!capable(CAP_SETGID)) {
        if (rgid != ID_KEEP && rgid != old->gid && rgid != old->egid) {
            return -EPERM;
        }
        if (egid != ID_KEEP && egid != old->gid && egid != old->egid && egid != old->sgid) {
            return -EPERM;
        }
    }
    struct cred *c = cred_prepare();
    if (c == NULL) {
        return -ENOMEM;
    }
    c->gid = rgid == ID_KEEP ? old->gid : rgid;
    c->egid = egid == ID_KEEP ? old->egid : egid;
    if (rgid != ID_KEEP || (egid != ID_KEEP && egid != old->gid)) {
        c->sgid = c->egid;
    }
    c->fsgid = c->egid;
    cred_commit(c);
    return 0;
}

int64_t sys_setresgid(struct task *t, const struct sysargs *args) {
    uint32_t ids[3] = {(uint32_t)args->a[0], (uint32_t)args->a[1], (uint32_t)args->a[2]};
    const struct cred *old = t->cred;

    for (int i = 0; i < 3; i++) {
        if (!id_is_one_of(ids[i], old->gid, old->egid, old->sgid) && !capable(CAP_SETGID)) {
            return -EPERM;
        }
    }
    struct cred *c = cred_prepare();
    if (c == NULL) {
        return -ENOMEM;
    }
    c->gid = ids[0] == ID_KEEP ? old->gid : ids[0];
    c->egid = ids[1] == ID_KEEP ? old->egid : ids[1];
    c->sgid = ids[2] == ID_KEEP ? old->sgid : ids[2];
    c->fsgid = c->egid;
    cred_commit(c);
    return 0;
}

int64_t sys_setfsgid(struct task *t, const struct sysargs *args) {
    uint32_t gid = (uint32_t)args->a[0];
    const struct cred *old = t->cred;
    uint32_t before = old->fsgid;

    if (gid == ID_KEEP ||
        (gid != old->fsgid && !id_is_one_of(gid, old->gid, old->egid, old->sgid) &&
         !capable(CAP_SETGID))) {
        return before;
    }
    struct cred *c = cred_prepare();
    if (c != NULL) {
        c->fsgid = gid;
        cred_commit(c);
    }
    return before;
}

int64_t sys_getuid(struct task *t, const struct sysargs *args) {
    return t->cred->uid;
}

int64_t sys_geteuid(struct task *t, const struct sysargs *args) {
    return t->cred->euid;
}

int64_t sys_getgid(struct task *t, const struct sysargs *args) {
    return t->cred->gid;
}

int64_t sys_getegid(struct task *t, const struct sysargs *args) {
    return t->cred->egid;
}

static int64_t copyout_ids(const struct sysargs *args, uint32_t a, uint32_t b, uint32_t c) {
    if (copyout(uaddr_of(args->a[0]), &a, sizeof(a)) != 0 ||
        copyout(uaddr_of(args->a[1]), &b, sizeof(b)) != 0 ||
        copyout(uaddr_of(args->a[2]), &c, sizeof(c)) != 0) {
        return -EFAULT;
    }
    return 0;
}

int64_t sys_getresuid(struct task *t, const struct sysargs *args) {
    return copyout_ids(args, t->cred->uid, t->cred->euid, t->cred->suid);
}

int64_t sys_getresgid(struct task *t, const struct sysargs *args) {
    return copyout_ids(args, t->cred->gid, t->cred->egid, t->cred->sgid);
}

int64_t sys_getgroups(struct task *t, const struct sysargs *args) {
    int32_t size = (int32_t)args->a[0];
    const struct cred *c = t->cred;

    if (size < 0) {
        return -EINVAL;
    }
    if (size == 0) {
        return c->group_count;
    }
    if ((uint32_t)size < c->group_count) {
        return -EINVAL;
    }
    if (c->group_count != 0 &&
        copyout(uaddr_of(args->a[1]), c->groups, c->group_count * sizeof(*c->groups)) != 0) {
        return -EFAULT;
    }
    return c->group_count;
}

/* Heap sort: no recursion, bounded time for whatever a guest passes. */
void cred_sort_groups(uint32_t *g, uint32_t count) {
    for (uint32_t start = count / 2, end = count; end > 1;) {
        if (start > 0) {
            start--;
        } else {
            end--;
            uint32_t top = g[0];
            g[0] = g[end];
            g[end] = top;
        }
        for (uint32_t root = start, child = 2 * root + 1; child < end; child = 2 * root + 1) {
            if (child + 1 < end && g[child] < g[child + 1]) {
                child++;
            }
            if (g[root] >= g[child]) {
                break;
            }
            uint32_t swap = g[root];
            g[root] = g[child];
            g[child] = swap;
            root = child;
        }
    }
}

int64_t sys_setgroups(struct task *t, const struct sysargs *args) {
    uint32_t count = (uint32_t)args->a[0];
    uint32_t *groups = NULL;

    if (!capable(CAP_SETGID)) {
        return -EPERM;
    }
    if (count > NGROUPS_MAX_MOAT) {
        return -EINVAL;
    }
    if (count != 0) {
        groups = kcalloc(count, sizeof(*groups));
        if (groups == NULL) {
            return -ENOMEM;
        }
        if (copyin(groups, uaddr_of(args->a[1]), count * sizeof(*groups)) != 0) {
            kfree(groups);
            return -EFAULT;
        }
        cred_sort_groups(groups, count);
    }
    struct cred *c = cred_prepare();
    if (c == NULL) {
        kfree(groups);
        return -ENOMEM;
    }
    kfree(c->groups);
    c->groups = groups;
    c->group_count = count;
    cred_commit(c);
    return 0;
}
