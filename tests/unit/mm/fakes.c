/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/oom.h"
#include "mm/shm.h"

static struct cpu g_cpu;
static struct task g_task;
static struct process g_process;
uint64_t g_fake_rlimits[RLIMIT_COUNT];

/* ---- heap ---- */

static uint32_t g_fail_one_in;
static int64_t g_blocks;
static uint64_t g_random_state = 1;

uint64_t fakes_random(void) {
    g_random_state ^= g_random_state << 13;
    g_random_state ^= g_random_state >> 7;
    g_random_state ^= g_random_state << 17;
    return g_random_state;
}

void fakes_seed(uint64_t seed) {
    g_random_state = seed * 0x9e3779b97f4a7c15ull + 1;
}

void fakes_fail_heap(uint32_t one_in) {
    g_fail_one_in = one_in;
}

int64_t fakes_heap_blocks(void) {
    return g_blocks;
}

static bool heap_fails(void) {
    return g_fail_one_in != 0 && fakes_random() % g_fail_one_in == 0;
}

static void *counted(void *p) {
    g_blocks += p != NULL ? 1 : 0;
    return p;
}

void *kmalloc(size_t size) {
    return heap_fails() ? NULL : counted(malloc(size));
}

void *kzalloc(size_t size) {
    return heap_fails() ? NULL : counted(calloc(1, size));
}

void *kcalloc(size_t count, size_t size) {
    return heap_fails() ? NULL : counted(calloc(count, size));
}

void *krealloc(void *ptr, size_t size) {
    if (heap_fails()) {
        return NULL;
    }
    g_blocks += ptr == NULL ? 1 : 0;
    return realloc(ptr, size);
}

void kfree(void *ptr) {
    g_blocks -= ptr != NULL ? 1 : 0;
    free(ptr);
}

void *kpages_alloc(size_t page_count) {
    void *p = heap_fails() ? NULL : counted(aligned_alloc(PAGE_SIZE, page_count * PAGE_SIZE));
    if (p != NULL) {
        memset(p, 0, page_count * PAGE_SIZE);
    }
    return p;
}

void kpages_free(void *ptr, size_t page_count) {
    kfree(ptr);
}

/* ---- log ---- */

void klog(enum hal_log_level level, const char *format, ...) {
}

void panic(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

/* ---- locks ---- */

static const struct spinlock *g_held[8];
static unsigned int g_held_count, g_sleeping_held;

static void hold(struct spinlock *lock, bool nested) {
    CHECK(lock->word == 0);
    CHECK(g_held_count < 8);
    if (g_held_count > 0) {
        uint8_t last = g_held[g_held_count - 1]->rank;
        CHECK(nested ? last == lock->rank : last < lock->rank);
    }
    lock->word = 1;
    g_held[g_held_count++] = lock;
}

void spin_init(struct spinlock *lock, enum lock_rank rank) {
    *lock = (struct spinlock)SPINLOCK_INIT((uint8_t)rank);
}

void spin_lock(struct spinlock *lock) {
    hold(lock, false);
}

void spin_lock_nested(struct spinlock *lock) {
    hold(lock, true);
}

void spin_unlock(struct spinlock *lock) {
    CHECK(g_held_count > 0 && g_held[g_held_count - 1] == lock && lock->word == 1);
    lock->word = 0;
    g_held_count--;
}

void assert_no_spinlocks(void) {
    CHECK(g_held_count == 0);
}

void fakes_check_locks(void) {
    CHECK(g_held_count == 0 && g_sleeping_held == 0);
}

void mutex_init(struct mutex *m) {
    memset(m, 0, sizeof(*m));
}

void mutex_lock(struct mutex *m) {
    CHECK(g_held_count == 0 && m->owner == 0);
    m->owner = 1;
    g_sleeping_held++;
}

void mutex_unlock(struct mutex *m) {
    CHECK(m->owner == 1);
    m->owner = 0;
    g_sleeping_held--;
}

#define WRITER UINT32_MAX

void rw_init(struct rwmutex *m) {
    memset(m, 0, sizeof(*m));
}

void rw_read_lock(struct rwmutex *m) {
    CHECK(g_held_count == 0 && m->state == 0);
    m->state = 1;
    g_sleeping_held++;
}

void rw_read_unlock(struct rwmutex *m) {
    CHECK(m->state == 1);
    m->state = 0;
    g_sleeping_held--;
}

void rw_write_lock(struct rwmutex *m) {
    CHECK(g_held_count == 0 && m->state == 0);
    m->state = WRITER;
    g_sleeping_held++;
}

void rw_write_unlock(struct rwmutex *m) {
    CHECK(m->state == WRITER);
    m->state = 0;
    g_sleeping_held--;
}

/* ---- tasks ---- */

uint64_t rlimit_get(int resource) {
    return g_fake_rlimits[resource];
}

bool capable(int cap) {
    return false;
}

struct process *process_next(int32_t pid) {
    return NULL;
}

struct task *thread_next(struct process *p, int32_t tid) {
    return NULL;
}

struct mm *task_mm_get(struct task *t) {
    return NULL;
}

void process_put(struct process *p) {
}

void task_put(struct task *t) {
}

void task_kick(struct task *t) {
}

void fakes_set_mm(struct mm *mm) {
    g_task.mm = mm;
}

/* ---- files ---- */

void file_put(struct file *f) {
    if (ref_put(&f->ref)) {
        f->ops->release(f);
        inode_put(f->inode);
        if (f->pos == 1) {
            kfree(f);
        }
    }
}

struct super_block *anon_super(void) {
    return NULL;
}

static void inode_setup(struct inode *inode) {
    ref_init(&inode->ref);
    list_init(&inode->mappings);
    spin_init(&inode->map_list_lock, RANK_INODE);
}

struct inode *inode_alloc(struct super_block *sb, uint32_t mode, const struct inode_ops *ops,
                          const struct file_ops *fops) {
    struct inode *inode = kzalloc(sizeof(*inode));
    if (inode != NULL) {
        inode_setup(inode);
    }
    return inode;
}

void inode_put(struct inode *inode) {
    if (ref_put(&inode->ref)) {
        CHECK(list_empty(&inode->mappings));
        kfree(inode);
    }
}

int file_from_inode(struct inode *inode, const char *label, const struct file_ops *ops,
                    uint32_t flags, struct file **out_file) {
    struct file *f = kzalloc(sizeof(*f));
    if (f == NULL) {
        return -ENOMEM;
    }
    ref_init(&f->ref);
    inode_get(inode);
    f->inode = inode;
    f->ops = ops;
    f->mode = FMODE_READ | FMODE_WRITE;
    f->pos = 1; /* allocated here */
    *out_file = f;
    return 0;
}

void shm_init(void) {
}

struct file *fd_get(int fd, bool allow_path) {
    return NULL;
}

/* ---- the fake file ---- */

static struct fake_file *fake_of(struct file *file) {
    return container_of(file, struct fake_file, file);
}

static int fake_mmap(struct file *file, struct vma *vma) {
    return 0;
}

static int fake_map_pages(struct file *file, uint64_t pgoff, uint64_t want, bool write,
                          uint64_t *out_pfn, uint64_t *out_count) {
    struct fake_file *f = fake_of(file);
    assert_no_spinlocks();
    f->asked++;
    f->asked_write += write ? 1 : 0;
    if (pgoff >= f->page_count) {
        return -EFAULT;
    }
    uint64_t n = 1, most = MIN(MIN(want, f->page_count - pgoff), f->contiguous_max);
    while (n < most && f->pages[pgoff + n] == f->pages[pgoff] + n) {
        n++;
    }
    for (uint64_t i = 0; i < n; i++) {
        frame_get(f->pages[pgoff + i]);
    }
    *out_pfn = f->pages[pgoff];
    *out_count = n;
    return 0;
}

static void fake_release(struct file *file) {
    fake_file_truncate(fake_of(file), 0);
}

static const struct file_ops g_fake_ops = {
    .mmap = fake_mmap, .map_pages = fake_map_pages, .release = fake_release};

struct fake_file *fake_file_new(uint64_t page_count, uint8_t fill) {
    struct fake_file *f = calloc(1, sizeof(*f));
    CHECK(f != NULL && page_count <= 64);
    ref_init(&f->file.ref);
    inode_setup(&f->inode);
    inode_get(&f->inode); /* never freed by its count */
    f->file.inode = &f->inode;
    f->file.ops = &g_fake_ops;
    f->file.mode = FMODE_READ | FMODE_WRITE;
    f->contiguous_max = 64;
    f->page_count = page_count;
    for (uint64_t i = 0; i < page_count; i++) {
        CHECK(frame_alloc(&f->pages[i]) == 0);
        memset(frame_ptr(f->pages[i]), (int)(fill + i), PAGE_SIZE);
    }
    return f;
}

void fake_file_truncate(struct fake_file *f, uint64_t first) {
    uint64_t old = f->page_count;
    f->page_count = MIN(first, old);
    for (uint64_t i = f->page_count; i < old; i++) {
        frame_put(f->pages[i]);
    }
    mm_unmap_inode(&f->inode, first, UINT64_MAX);
}

void fake_file_put(struct fake_file *f) {
    CHECK(f->file.ref.n == 1);
    file_put(&f->file);
    free(f);
}

/* ---- all ---- */

void fakes_init(uint64_t frame_count) {
    skeleton_init(frame_count);
    memset(&g_cpu, 0, sizeof(g_cpu));
    memset(&g_task, 0, sizeof(g_task));
    g_cpu.self = &g_cpu;
    g_cpu.running = &g_task;
    g_task.process = &g_process;
    hal_cpu_set(&g_cpu);
    for (int i = 0; i < RLIMIT_COUNT; i++) {
        g_fake_rlimits[i] = UINT64_MAX;
    }
    g_fake_rlimits[3] = 8 * MIB; /* RLIMIT_STACK */
    frame_init();
    mm_init();
}

/* ---- want of memory: nobody to kill ---- */

bool oom_relieve(const void *wanted, bool may_wait) {
    return false;
}

bool signal_fatal_pending(struct task *t) {
    return false;
}
