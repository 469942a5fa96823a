/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heap, locks, frames, credentials and user memory for the VFS under test.  The heap is the host's,
 * so that sanitizers see it; locks check that nothing is taken twice and that spinlocks keep their
 * order; frames are counted.
 */
#include "tests/seam/fs/fakes.h"

#include "fs/async.h"
#include "fs/fsnotify.h"
#include "fs/internal.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/lock.h"
#include "kernel/log.h"
#include "kernel/oom.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "tests/seam/fs/host.h"
#include "tests/seam/fs/kfs.h"

static struct cpu g_cpu;
static struct task g_task;
static struct process g_process;
static struct cred g_cred;
static int64_t g_blocks;
static uint64_t g_random_state = 88172645463325252ull;

noreturn_fn void fakes_die(const char *file, int line, const char *what) {
    host_die(file, line, what);
}

uint64_t fakes_random(void) {
    g_random_state ^= g_random_state << 13;
    g_random_state ^= g_random_state >> 7;
    g_random_state ^= g_random_state << 17;
    return g_random_state;
}

void fakes_seed(uint64_t seed) {
    g_random_state = seed * 0x9e3779b97f4a7c15ull + 1;
}

/* ---- heap ---- */

static void *counted(void *p) {
    g_blocks += p != NULL ? 1 : 0;
    return p;
}

void *kmalloc(size_t size) {
    return counted(host_alloc(size));
}

void *kzalloc(size_t size) {
    void *p = kmalloc(size);
    if (p != NULL) {
        __builtin_memset(p, 0, size);
    }
    return p;
}

void *kcalloc(size_t count, size_t size) {
    size_t bytes;
    return ckd_mul(&bytes, count, size) ? NULL : kzalloc(bytes);
}

void *krealloc(void *ptr, size_t size) {
    g_blocks += ptr == NULL ? 1 : 0;
    return host_realloc(ptr, size);
}

void kfree(void *ptr) {
    g_blocks -= ptr != NULL ? 1 : 0;
    host_free(ptr);
}

char *kstrdup(const char *s) {
    return kmemdup(s, __builtin_strlen(s) + 1);
}

void *kmemdup(const void *src, size_t len) {
    void *p = kmalloc(len);
    if (p != NULL) {
        __builtin_memcpy(p, src, len);
    }
    return p;
}

const struct radix_alloc kradix_alloc = {.alloc = kzalloc, .free = kfree};

int64_t kfs_heap_blocks(void) {
    return g_blocks;
}

/* ---- locks ---- */

static const struct spinlock *g_held[16];
static unsigned int g_held_count, g_sleeping_held;

static void spin_take(struct spinlock *lock, bool nested) {
    FAKE_CHECK(lock->word == 0 && g_held_count < 16);
    if (g_held_count > 0) {
        uint8_t last = g_held[g_held_count - 1]->rank;
        FAKE_CHECK(nested ? last == lock->rank : last < lock->rank);
    }
    lock->word = 1;
    g_held[g_held_count++] = lock;
}

void spin_init(struct spinlock *lock, enum lock_rank rank) {
    *lock = (struct spinlock)SPINLOCK_INIT((uint8_t)rank);
}

void spin_lock(struct spinlock *lock) {
    spin_take(lock, false);
}

void spin_lock_nested(struct spinlock *lock) {
    spin_take(lock, true);
}

void spin_unlock(struct spinlock *lock) {
    unsigned int i = g_held_count;
    while (i > 0 && g_held[i - 1] != lock) {
        i--;
    }
    FAKE_CHECK(i > 0 && lock->word == 1);
    for (; i < g_held_count; i++) {
        g_held[i - 1] = g_held[i];
    }
    g_held_count--;
    lock->word = 0;
}

void assert_no_spinlocks(void) {
    FAKE_CHECK(g_held_count == 0);
}

void mutex_init(struct mutex *m) {
    __builtin_memset(m, 0, sizeof(*m));
}

bool mutex_trylock(struct mutex *m) {
    if (m->owner != 0) {
        return false;
    }
    mutex_lock(m);
    return true;
}

void mutex_lock(struct mutex *m) {
    FAKE_CHECK(g_held_count == 0 && m->owner == 0);
    m->owner = 1;
    g_sleeping_held++;
}

void mutex_unlock(struct mutex *m) {
    FAKE_CHECK(m->owner != 0);
    m->owner = 0;
    g_sleeping_held--;
}

#define WRITER UINT32_MAX

void rw_init(struct rwmutex *m) {
    __builtin_memset(m, 0, sizeof(*m));
}

void rw_read_lock(struct rwmutex *m) {
    FAKE_CHECK(g_held_count == 0 && m->state != WRITER);
    m->state++;
    g_sleeping_held++;
}

void rw_read_unlock(struct rwmutex *m) {
    FAKE_CHECK(m->state > 0 && m->state != WRITER);
    m->state--;
    g_sleeping_held--;
}

void rw_write_lock(struct rwmutex *m) {
    FAKE_CHECK(g_held_count == 0 && m->state == 0);
    m->state = WRITER;
    g_sleeping_held++;
}

void rw_write_unlock(struct rwmutex *m) {
    FAKE_CHECK(m->state == WRITER);
    m->state = 0;
    g_sleeping_held--;
}

unsigned int kfs_locks_held(void) {
    return g_sleeping_held + g_held_count;
}

/* ---- frames: never reused, so that a stale one is noticed ---- */

static uint32_t *g_frame_refs;
static uint64_t g_next_frame = 1;

int frame_alloc_run(uint64_t count, uint64_t *out_pfn) {
    if (count > hal_memory()->frame_count - g_next_frame) {
        return -ENOMEM;
    }
    *out_pfn = g_next_frame;
    for (uint64_t i = 0; i < count; i++) {
        g_frame_refs[g_next_frame + i] = 1;
    }
    g_next_frame += count;
    return 0;
}

int frame_alloc_run_raw(uint64_t count, uint64_t *out_pfn) {
    return frame_alloc_run(count, out_pfn);
}

int frame_alloc(uint64_t *out_pfn) {
    return frame_alloc_run(1, out_pfn);
}

bool frame_is_window(uint64_t pfn) {
    return pfn >= hal_memory()->window_base;
}

void frame_get(uint64_t pfn) {
    if (!frame_is_window(pfn)) {
        FAKE_CHECK(g_frame_refs[pfn] > 0);
        g_frame_refs[pfn]++;
    }
}

void frame_put(uint64_t pfn) {
    if (!frame_is_window(pfn)) {
        FAKE_CHECK(g_frame_refs[pfn] > 0);
        if (--g_frame_refs[pfn] == 0) {
            __builtin_memset(frame_ptr(pfn), 0xdb, PAGE_SIZE);
        }
    }
}

void frame_get_run(uint64_t pfn, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        frame_get(pfn + i);
    }
}

void frame_put_run(uint64_t pfn, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        frame_put(pfn + i);
    }
}

uint64_t frames_total(void) {
    return hal_memory()->frame_count;
}

void mm_unmap_inode(struct inode *inode, uint64_t first_page, uint64_t page_count) {
}

/* ---- user memory is ours ---- */

int copyin(void *dst, struct uaddr src, size_t len) {
    __builtin_memcpy(dst, (const void *)(uintptr_t)src.v, len);
    return 0;
}

int copyout(struct uaddr dst, const void *src, size_t len) {
    __builtin_memcpy((void *)(uintptr_t)dst.v, src, len);
    return 0;
}

int64_t copyin_str(char *dst, struct uaddr src, size_t size) {
    size_t len = __builtin_strlen((const char *)(uintptr_t)src.v);
    if (len >= size) {
        return -ENAMETOOLONG;
    }
    __builtin_memcpy(dst, (const void *)(uintptr_t)src.v, len + 1);
    return (int64_t)len;
}

size_t user_copy_in(struct uaddr src, void *dst, size_t len) {
    (void)!copyin(dst, src, len);
    return len;
}

size_t user_copy_out(struct uaddr dst, const void *src, size_t len) {
    (void)!copyout(dst, src, len);
    return len;
}

size_t user_zero(struct uaddr dst, size_t len) {
    __builtin_memset((void *)(uintptr_t)dst.v, 0, len);
    return len;
}

int64_t mm_pin(struct mm *mm, struct uaddr addr, size_t len, bool write, struct hal_seg *segs,
               size_t seg_max, size_t *out_len) {
    size_t first = MIN(len, (len + 1) / 2); /* two pieces, as pages would be */
    segs[0] = (struct hal_seg){(void *)(uintptr_t)addr.v, first};
    segs[1] = (struct hal_seg){(char *)(uintptr_t)addr.v + first, len - first};
    *out_len = len;
    return len > first ? 2 : 1;
}

void mm_unpin(struct mm *mm, const struct hal_seg *segs, size_t seg_count) {
}

/* ---- who asks ---- */

bool cred_capable(const struct cred *c, int cap) {
    return (c->cap_effective >> cap & 1) != 0;
}

bool capable(int cap) {
    return cred_capable(current->cred, cap);
}

bool cred_in_group(const struct cred *c, uint32_t gid) {
    return c->fsgid == gid;
}

struct cred *cred_prepare(void) {
    return NULL;
}

void cred_put(const struct cred *c) {
    (void)atomic_fetch_sub(&((struct cred *)(uintptr_t)c)->ref.n, 1u); /* it is static */
}

void fakes_cred_set(uint32_t uid, uint32_t gid, uint64_t capabilities) {
    g_cred.uid = g_cred.euid = g_cred.suid = g_cred.fsuid = uid;
    g_cred.gid = g_cred.egid = g_cred.sgid = g_cred.fsgid = gid;
    g_cred.cap_effective = g_cred.cap_permitted = capabilities;
}

uint64_t rlimit_get(int resource) {
    return UINT64_MAX;
}

void task_yield(void) {
}

bool signal_pending(struct task *t) {
    return false;
}

bool signal_fatal_pending(struct task *t) {
    return false;
}

bool oom_relieve(const void *wanted, bool may_wait) {
    return false; /* nobody to kill */
}

int signal_send_task(struct task *t, int signo, const struct ksiginfo *info) {
    return 0;
}

/* ---- parts of the VFS that are not under test ---- */

void waitq_wake(struct waitq *q, uint32_t events) { /* nobody sleeps here */
}
uint32_t g_fsnotify_watches;
void fsnotify_post(struct inode *inode, uint32_t mask, const char *name, uint32_t cookie) {
}
void fsnotify_inode_gone(struct inode *inode) {
}
void epoll_file_released(struct file *file) {
}
int fifo_open(struct inode *inode, struct file *file) {
    return -ENXIO;
}
void pipe_inode_evict(struct inode *inode) {
}
int chrdev_open(uint64_t rdev, struct file *file) {
    return -ENXIO;
}
void locks_free(struct inode *inode) {
}
void locks_release_posix(struct file *f, struct files *owner) {
}
void locks_release_file(struct file *f) {
}

void panic(const char *format, ...) {
    host_die("panic", 0, format);
}

void klog(enum hal_log_level level, const char *format, ...) {
}

void fakes_init(void) {
    host_init();
    g_frame_refs = host_alloc(hal_memory()->frame_count * sizeof(*g_frame_refs));
    FAKE_CHECK(g_frame_refs != NULL);
    g_cpu.self = &g_cpu;
    g_cpu.running = &g_task;
    hal_cpu_set(&g_cpu);
    ref_init(&g_cred.ref);
    fakes_cred_set(0, 0, ~0ull);
    g_task.cred = &g_cred;
    g_task.process = &g_process;
    g_task.tid = 1;
}

/* Nobody asks for signal-driven I/O here. */
void file_async_release(struct file *f) {
}
