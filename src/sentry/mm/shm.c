/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V shared memory (shmget(2), shmat(2), shmctl(2), sysvipc(7)).
 *
 * A segment is a file without a name over shared memory; attaching maps it.  The number of
 * attachments is the number of areas on the file's inode, so fork, munmap and exit need no hooks.
 * A removed segment stays until nobody has it mapped (SHM_DEST); such are swept whenever the table
 * is used.
 *
 * Locks: g_shm.lock (a mutex, before mm->lock) guards the table and its segments.  Each container
 * sees its own.
 */
#include "mm/shm.h"

#include <asm/shmbuf.h>
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/ipc.h>
#include <linux/mman.h>

#include "base/string.h"
#include "fs/seq.h"
#include "kernel/container.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "mm/callsite.h"
#include "mm/internal.h"
#include "syscall/syscall.h"

/* linux/shm.h cannot be included without a libc; its values. */
#define SHM_RDONLY      010000
#define SHM_RND         020000
#define SHM_REMAP       040000
#define SHM_EXEC        0100000
#define SHM_DEST        01000
#define SHM_LOCKED      02000
#define SHM_LOCK        11
#define SHM_UNLOCK      12
#define SHM_STAT        13
#define SHM_INFO        14
#define SHM_STAT_ANY    15
#define SHM_HUGETLB     04000
#define SHM_SEGMENT_MAX 4096u /* SHMMNI: of one container */
#define SHM_SIZE_MAX    (UINT64_MAX - (1ull << 24))

struct shm_info_user { /* struct shm_info of linux/shm.h */
    int32_t used_ids, pad;
    uint64_t shm_tot, shm_rss, shm_swp, swap_attempts, swap_successes;
};

struct segment {
    struct list link;
    struct container *container; /* compared only; shm_container_gone removes before it is freed */
    int32_t id, key;
    uint32_t uid, gid, cuid, cgid, mode; /* mode: permission bits, SHM_DEST, SHM_LOCKED */
    uint64_t size;
    int64_t atime, dtime, ctime;
    int32_t cpid, lpid;
    struct file *file; /* referenced */
};

static struct {
    struct mutex lock;
    struct list segments; /* guarded by lock, oldest first */
    int32_t next_id;      /* guarded by lock */
} g_shm;

void shm_init(void) {
    mutex_init(&g_shm.lock);
    list_init(&g_shm.segments);
}

static struct container *own_container(void) {
    return current->process->member->ipc;
}

static uint64_t attach_count(const struct segment *s) {
    struct inode *inode = s->file->inode;
    uint64_t n = 0;
    struct list *link;
    spin_lock(&inode->map_list_lock);
    list_for_each (link, &inode->mappings) {
        n++;
    }
    spin_unlock(&inode->map_list_lock);
    return n;
}

static void segment_free(struct segment *s) {
    list_del_init(&s->link);
    file_put(s->file);
    kfree(s);
}

/* Forgets removed segments that nobody maps any more.  Precondition: lock, as in all below. */
static void sweep(void) {
    struct segment *s, *tmp;
    list_for_each_entry_safe (s, tmp, &g_shm.segments, link) {
        if ((s->mode & SHM_DEST) != 0 && attach_count(s) == 0) {
            segment_free(s);
        }
    }
}

void shm_container_gone(struct container *c) {
    struct segment *s, *tmp;
    mutex_lock(&g_shm.lock);
    list_for_each_entry_safe (s, tmp, &g_shm.segments, link) {
        if (s->container == c) {
            segment_free(s);
        }
    }
    mutex_unlock(&g_shm.lock);
}

static struct segment *find_id(int32_t id) {
    struct segment *s;
    list_for_each_entry (s, &g_shm.segments, link) {
        if (s->id == id && s->container == own_container()) {
            return s;
        }
    }
    return NULL;
}

static struct segment *find_key(int32_t key) {
    struct segment *s;
    list_for_each_entry (s, &g_shm.segments, link) {
        if (s->key == key && key != IPC_PRIVATE && s->container == own_container()) {
            return s;
        }
    }
    return NULL;
}

/* The index-th segment of the container; *out_count is how many there are. */
static struct segment *find_index(int32_t index, int32_t *out_count) {
    struct segment *s, *found = NULL;
    *out_count = 0;
    list_for_each_entry (s, &g_shm.segments, link) {
        if (s->container == own_container()) {
            found = *out_count == index ? s : found;
            (*out_count)++;
        }
    }
    return found;
}

/* sysvipc(7): `want` are permission bits in the owner's place (0400, 0200). */
static bool permitted(const struct segment *s, uint32_t want) {
    const struct cred *c = current->cred;
    uint32_t granted = s->mode << 6;
    if (c->euid == s->uid || c->euid == s->cuid) {
        granted = s->mode;
    } else if (cred_in_group(c, s->gid) || cred_in_group(c, s->cgid)) {
        granted = s->mode << 3;
    }
    return (want & ~granted) == 0 || capable(CAP_IPC_OWNER);
}

/* ---- shmget ---- */

static int64_t segment_new(int32_t key, uint64_t size, uint32_t flags) {
    int32_t count;
    if (size == 0 || size > SHM_SIZE_MAX || size > g_user_end) {
        return -EINVAL;
    }
    (void)find_index(-1, &count); /* only the count */
    if (count >= SHM_SEGMENT_MAX) {
        return -ENOSPC;
    }
    struct segment *s = kzalloc(sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    int err = mm_shared_file(size, "SYSV", &s->file);
    if (err != 0) {
        kfree(s);
        return err;
    }
    s->container = own_container();
    s->id = g_shm.next_id;
    g_shm.next_id = g_shm.next_id == INT32_MAX ? 0 : g_shm.next_id + 1;
    s->key = key;
    s->uid = s->cuid = current->cred->euid;
    s->gid = s->cgid = current->cred->egid;
    s->mode = flags & 0777;
    s->size = size;
    s->ctime = ktime_now().sec;
    s->cpid = current->process->pid;
    list_push_back(&g_shm.segments, &s->link);
    return s->id;
}

int64_t sys_shmget(struct task *t, const struct sysargs *args) {
    int32_t key = (int32_t)args->a[0];
    uint64_t size = args->a[1];
    uint32_t flags = (uint32_t)args->a[2];
    if ((flags & SHM_HUGETLB) != 0) {
        return -ENOMEM; /* no pool of huge pages */
    }
    int64_t result;
    mutex_lock(&g_shm.lock);
    sweep();
    const struct segment *s = find_key(key);
    if (s == NULL) {
        bool create = key == IPC_PRIVATE || (flags & IPC_CREAT) != 0;
        result = create ? segment_new(key, size, flags) : -ENOENT;
    } else if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL)) {
        result = -EEXIST;
    } else if (size > s->size) {
        result = -EINVAL;
    } else {
        result =
            permitted(s, (flags & 0700) | (flags & 070) << 3 | (flags & 07) << 6) ? s->id : -EACCES;
    }
    mutex_unlock(&g_shm.lock);
    return result;
}

/* ---- shmat, shmdt ---- */

/* The segment's file, referenced, after all checks. */
static int attach_begin(int32_t id, uint32_t flags, struct file **out_file, uint64_t *out_size) {
    uint32_t want =
        0400 | ((flags & SHM_RDONLY) == 0 ? 0200 : 0) | ((flags & SHM_EXEC) != 0 ? 0100 : 0);
    mutex_lock(&g_shm.lock);
    struct segment *s = find_id(id);
    int err = s == NULL ? -EINVAL : permitted(s, want) ? 0 : -EACCES;
    if (err == 0) {
        *out_file = s->file;
        *out_size = s->size;
        file_get(s->file);
    }
    mutex_unlock(&g_shm.lock);
    return err;
}

/* Notes who attached or detached and when. */
static void touch(const struct file *file, bool attach) {
    struct segment *s;
    mutex_lock(&g_shm.lock);
    list_for_each_entry (s, &g_shm.segments, link) {
        if (s->file == file) {
            *(attach ? &s->atime : &s->dtime) = ktime_now().sec;
            s->lpid = current->process->pid;
            break;
        }
    }
    sweep();
    mutex_unlock(&g_shm.lock);
}

int64_t sys_shmat(struct task *t, const struct sysargs *args) {
    uint64_t addr = args->a[1], size;
    uint32_t flags = (uint32_t)args->a[2], map_flags = MAP_SHARED, prot = PROT_READ;
    struct file *file;
    if (addr != 0) {
        addr = (flags & SHM_RND) != 0 ? ALIGN_DOWN(addr, PAGE_SIZE) : addr;
        if (!IS_ALIGNED(addr, PAGE_SIZE) || addr == 0) {
            return -EINVAL;
        }
        map_flags |= (flags & SHM_REMAP) != 0 ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    } else if ((flags & SHM_REMAP) != 0) {
        return -EINVAL;
    }
    prot |= (flags & SHM_RDONLY) == 0 ? PROT_WRITE : 0;
    prot |= (flags & SHM_EXEC) != 0 ? PROT_EXEC : 0;
    int err = attach_begin((int32_t)args->a[0], flags, &file, &size);
    if (err != 0) {
        return err;
    }
    if ((flags & SHM_REMAP) != 0) {
        callsite_drop(t->mm, addr, size);
    }
    int64_t result = mm_map(t->mm, addr, size, prot, map_flags, file, 0);
    touch(file, true);
    file_put(file);
    return result == -EEXIST || result == -EPERM ? -EINVAL : result;
}

/* Takes out every area of `file` that belongs to the attachment at addr.  Precondition: mm->lock
 * write. */
static int detach(struct mm *mm, uint64_t addr, const struct file *file, struct list *gone) {
    struct vma *v = vma_find(mm, addr);
    int err = 0;
    while (v != NULL && err == 0) {
        struct vma *next = vma_next(v);
        if (v->file == file && v->start - (v->pgoff << PAGE_SHIFT) == addr) {
            err = mm_unmap_locked(mm, v->start, v->end, gone);
        }
        v = next;
    }
    return err;
}

static bool is_segment(const struct file *file) {
    struct segment *s;
    list_for_each_entry (s, &g_shm.segments, link) {
        if (s->file == file) {
            return true;
        }
    }
    return false;
}

int64_t sys_shmdt(struct task *t, const struct sysargs *args) {
    uint64_t addr = args->a[0];
    struct list gone;
    struct file *file = NULL;
    int err = -EINVAL;
    if (!IS_ALIGNED(addr, PAGE_SIZE)) {
        return -EINVAL;
    }
    list_init(&gone);
    mutex_lock(&g_shm.lock);
    rw_write_lock(&t->mm->lock);
    struct vma *v = vma_find(t->mm, addr);
    /* The attachment's first page may have been unmapped: look for what is left of it. */
    while (v != NULL && (v->file == NULL || v->start - (v->pgoff << PAGE_SHIFT) != addr ||
                         !is_segment(v->file))) {
        v = vma_next(v);
    }
    if (v != NULL) {
        file = v->file;
        file_get(file);
        err = detach(t->mm, addr, file, &gone);
    }
    rw_write_unlock(&t->mm->lock);
    mutex_unlock(&g_shm.lock);
    vma_free_list(&gone);
    if (file != NULL) {
        touch(file, false);
        file_put(file);
    }
    return err;
}

/* ---- shmctl ---- */

static int fill_stat(const struct segment *s, struct shmid64_ds *ds) {
    memset(ds, 0, sizeof(*ds));
    ds->shm_perm.key = s->key;
    ds->shm_perm.uid = s->uid;
    ds->shm_perm.gid = s->gid;
    ds->shm_perm.cuid = s->cuid;
    ds->shm_perm.cgid = s->cgid;
    ds->shm_perm.mode = s->mode;
    ds->shm_segsz = s->size;
    ds->shm_atime = s->atime;
    ds->shm_dtime = s->dtime;
    ds->shm_ctime = s->ctime;
    ds->shm_cpid = s->cpid;
    ds->shm_lpid = s->lpid;
    ds->shm_nattch = attach_count(s);
    return 0;
}

int shm_proc_show(struct seq *out) {
    const struct segment *s;
    seq_printf(out,
               "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  "
               "cuid  cgid      atime      dtime      ctime                   rss             "
               "     swap\n");
    mutex_lock(&g_shm.lock);
    sweep();
    list_for_each_entry (s, &g_shm.segments, link) {
        if (s->container != own_container()) {
            continue;
        }
        seq_printf(out, "%10d %10d  %4o %21llu %5d %5d  %5llu %5u %5u %5u %5u", s->key, s->id,
                   s->mode, (unsigned long long)s->size, s->cpid, s->lpid,
                   (unsigned long long)attach_count(s), s->uid, s->gid, s->cuid, s->cgid);
        seq_printf(out, " %10lld %10lld %10lld %21llu %21llu\n", (long long)s->atime,
                   (long long)s->dtime, (long long)s->ctime,
                   (unsigned long long)s->file->inode->blocks * 512, 0ull);
    }
    mutex_unlock(&g_shm.lock);
    return 0;
}

static int64_t ctl_stat(int32_t id, int cmd, struct uaddr buf) {
    struct shmid64_ds ds;
    int32_t count;
    int64_t result = cmd == IPC_STAT ? 0 : -EINVAL;
    mutex_lock(&g_shm.lock);
    sweep();
    const struct segment *s = cmd == IPC_STAT ? find_id(id) : find_index(id, &count);
    int err = s == NULL ? -EINVAL : 0;
    if (s != NULL && cmd != SHM_STAT_ANY && !permitted(s, 0400)) {
        err = -EACCES;
    }
    if (err == 0) {
        err = fill_stat(s, &ds);
        result = cmd == IPC_STAT ? 0 : s->id;
    }
    mutex_unlock(&g_shm.lock);
    if (err == 0) {
        err = copyout(buf, &ds, sizeof(ds));
    }
    return err != 0 ? err : result;
}

static bool may_change(const struct segment *s, int cap) {
    uint32_t euid = current->cred->euid;
    return euid == s->uid || euid == s->cuid || capable(cap);
}

static int ctl_change(int32_t id, int cmd, const struct shmid64_ds *ds) {
    int err = 0;
    mutex_lock(&g_shm.lock);
    struct segment *s = find_id(id);
    if (s == NULL) {
        err = -EINVAL;
    } else if (!may_change(s,
                           cmd == SHM_LOCK || cmd == SHM_UNLOCK ? CAP_IPC_LOCK : CAP_SYS_ADMIN)) {
        err = -EPERM;
    } else if (cmd == IPC_RMID) {
        s->key = IPC_PRIVATE;
        s->mode |= SHM_DEST;
        sweep();
    } else if (cmd == IPC_SET) {
        s->uid = ds->shm_perm.uid;
        s->gid = ds->shm_perm.gid;
        s->mode = (s->mode & ~0777u) | (ds->shm_perm.mode & 0777);
        s->ctime = ktime_now().sec;
    } else {
        s->mode = cmd == SHM_LOCK ? s->mode | SHM_LOCKED : s->mode & ~(uint32_t)SHM_LOCKED;
    }
    mutex_unlock(&g_shm.lock);
    return err;
}

static int64_t ctl_info(int cmd, struct uaddr buf) {
    struct shm_info_user info = {0};
    const struct shminfo64 limits = {.shmmax = SHM_SIZE_MAX,
                                     .shmmin = 1,
                                     .shmmni = SHM_SEGMENT_MAX,
                                     .shmseg = SHM_SEGMENT_MAX,
                                     .shmall = SHM_SIZE_MAX};
    struct segment *s;
    mutex_lock(&g_shm.lock);
    sweep();
    (void)find_index(-1, &info.used_ids); /* only the count */
    list_for_each_entry (s, &g_shm.segments, link) {
        info.shm_tot +=
            s->container == own_container() ? ALIGN_UP(s->size, PAGE_SIZE) >> PAGE_SHIFT : 0;
    }
    mutex_unlock(&g_shm.lock);
    int err =
        cmd == IPC_INFO ? copyout(buf, &limits, sizeof(limits)) : copyout(buf, &info, sizeof(info));
    return err != 0 ? err : MAX(info.used_ids - 1, 0);
}

int64_t sys_shmctl(struct task *t, const struct sysargs *args) {
    int32_t id = (int32_t)args->a[0];
    int cmd = (int)args->a[1] & ~IPC_64;
    struct uaddr buf = uaddr_of(args->a[2]);
    struct shmid64_ds ds = {0};
    int err;
    if (id < 0 && cmd != IPC_INFO && cmd != SHM_INFO) {
        return -EINVAL;
    }
    switch (cmd) {
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY:
        return ctl_stat(id, cmd, buf);
    case IPC_INFO:
    case SHM_INFO:
        return ctl_info(cmd, buf);
    case IPC_SET:
        err = copyin(&ds, buf, sizeof(ds));
        return err != 0 ? err : ctl_change(id, cmd, &ds);
    case IPC_RMID:
    case SHM_LOCK:
    case SHM_UNLOCK:
        return ctl_change(id, cmd, &ds);
    default:
        return -EINVAL;
    }
}
