/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process_vm_readv, process_vm_writev (process_vm_readv(2)).
 *
 * Permission: the caller's real user and group must be all of the target's, or CAP_SYS_PTRACE
 * (ptrace(2), access mode PTRACE_MODE_ATTACH_REALCREDS), and the target must be dumpable.
 */
#include "mm/internal.h"

#include <linux/capability.h>
#include <linux/errno.h>

#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "syscall/syscall.h"

struct vm_side {
    struct kiovec *vecs;
    uint32_t count, at;
    uint64_t off; /* in vecs[at] */
};

static bool may_access(struct task *target) {
    if (target->process == current->process || capable(CAP_SYS_PTRACE)) {
        return true;
    }
    const struct cred *mine = current->cred, *theirs = task_cred_get(target);
    bool same = mine->uid == theirs->euid && mine->uid == theirs->suid &&
                mine->uid == theirs->uid && mine->gid == theirs->egid &&
                mine->gid == theirs->sgid && mine->gid == theirs->gid;
    cred_put(theirs);
    return same && target->process->dumpable;
}

static int side_load(struct vm_side *s, uint64_t user, uint64_t count) {
    if (count > IOV_MAX_COUNT) {
        return -EINVAL;
    }
    s->count = (uint32_t)count;
    if (count == 0) {
        return 0;
    }
    s->vecs = kcalloc(count, sizeof(*s->vecs));
    if (s->vecs == NULL) {
        return -ENOMEM;
    }
    int err = copyin(s->vecs, uaddr_of(user), count * sizeof(*s->vecs));
    for (uint64_t i = 0; err == 0 && i < count; i++) {
        err = (int64_t)s->vecs[i].len < 0 ? -EINVAL : 0;
    }
    return err;
}

/* The current piece; false at the end. */
static bool side_piece(struct vm_side *s, uint64_t *out_addr, uint64_t *out_len) {
    while (s->at < s->count && s->off == s->vecs[s->at].len) {
        s->at++;
        s->off = 0;
    }
    if (s->at == s->count) {
        return false;
    }
    *out_addr = s->vecs[s->at].base + s->off;
    *out_len = s->vecs[s->at].len - s->off;
    return true;
}

/* Moves up to a page through `page`; bytes moved. */
static int64_t move_piece(struct mm *mm, uint64_t local, uint64_t remote, uint64_t len, bool write,
                          char *page) {
    if (write) {
        size_t n = user_copy_in(uaddr_of(local), page, len);
        return n == 0 ? -EFAULT : mm_write(mm, remote, page, n, false);
    }
    int64_t n = mm_read(mm, remote, page, len, false);
    if (n <= 0) {
        return n;
    }
    size_t out = user_copy_out(uaddr_of(local), page, (size_t)n);
    return out == 0 ? -EFAULT : (int64_t)out;
}

static int64_t move_all(struct mm *mm, struct vm_side *local, struct vm_side *remote, bool write) {
    char *page = kmalloc(PAGE_SIZE);
    uint64_t done = 0, l_addr, l_len, r_addr, r_len;
    int64_t moved = 0;
    if (page == NULL) {
        return -ENOMEM;
    }
    while (done < RW_MAX && side_piece(local, &l_addr, &l_len) &&
           side_piece(remote, &r_addr, &r_len)) {
        uint64_t n = MIN(MIN(l_len, r_len), PAGE_SIZE - (r_addr & PAGE_MASK));
        moved = move_piece(mm, l_addr, r_addr, n, write, page);
        if (moved <= 0) {
            break;
        }
        done += (uint64_t)moved;
        local->off += (uint64_t)moved;
        remote->off += (uint64_t)moved;
        if ((uint64_t)moved < n) {
            moved = -EFAULT;
            break;
        }
    }
    kfree(page);
    return done > 0 || moved >= 0 ? (int64_t)done : moved;
}

static int64_t process_vm(const struct sysargs *args, bool write) {
    struct vm_side local = {0}, remote = {0};
    if (args->a[5] != 0) {
        return -EINVAL;
    }
    int64_t result = side_load(&local, args->a[1], args->a[2]);
    if (result == 0) {
        result = side_load(&remote, args->a[3], args->a[4]);
    }
    if (result == 0) {
        struct task *target = task_find((int32_t)args->a[0]);
        struct mm *mm = NULL;
        result = target == NULL ? -ESRCH : may_access(target) ? 0 : -EPERM;
        if (result == 0) {
            mm = task_mm_get(target);
            result = mm != NULL ? move_all(mm, &local, &remote, write) : -ESRCH;
        }
        if (mm != NULL) {
            mm_put(mm);
        }
        if (target != NULL) {
            task_put(target);
        }
    }
    kfree(local.vecs);
    kfree(remote.vecs);
    return result;
}

int64_t sys_process_vm_readv(struct task *t, const struct sysargs *args) {
    return process_vm(args, false);
}

int64_t sys_process_vm_writev(struct task *t, const struct sysargs *args) {
    return process_vm(args, true);
}
