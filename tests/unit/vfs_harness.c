/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-ins for memory management, credentials and notification under the VFS: see vfs_harness.h.
 */
#include "vfs_harness.h"

#include "fs/async.h"
#include "fs/fsnotify.h"
#include "hal.h"
#include "kernel/kmalloc.h"
#include "kernel/oom.h"
#include "mm/mm.h"

#include <stdlib.h>
#include <sys/mman.h>

#undef current
#define current current_task()

#define FRAME_COUNT 16384u

static uint32_t g_frame_refs[FRAME_COUNT]; /* atomic */
static uint64_t g_frames_held;             /* atomic */
static uint32_t g_frame_next;              /* atomic */
int g_last_signal;

/* ---- frames ---- */

int hal_copy(void *dst, const void *src, size_t len) {
    memcpy(dst, src, len);
    return 0;
}

int hal_zero(void *dst, size_t len) {
    memset(dst, 0, len);
    return 0;
}

static bool run_free(uint32_t first, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        if (atomic_load(&g_frame_refs[first + i]) != 0) {
            return false;
        }
    }
    return true;
}

int frame_alloc_run_raw(uint64_t count, uint64_t *out_pfn) {
    for (uint32_t tries = 0; tries < FRAME_COUNT; tries++) {
        uint32_t first = atomic_fetch_add(&g_frame_next, (uint32_t)count) % FRAME_COUNT;
        if (first + count > FRAME_COUNT || !run_free(first, count)) {
            continue;
        }
        for (uint64_t i = 0; i < count; i++) {
            atomic_store(&g_frame_refs[first + i], 1u);
            memset(frame_ptr(first + i), 0xa5, PAGE_SIZE); /* old content must not show */
        }
        (void)atomic_fetch_add(&g_frames_held, count);
        *out_pfn = first;
        return 0;
    }
    return -ENOMEM;
}

int frame_alloc_run(uint64_t count, uint64_t *out_pfn) {
    int err = frame_alloc_run_raw(count, out_pfn);
    if (err == 0) {
        memset(frame_ptr(*out_pfn), 0, count * PAGE_SIZE);
    }
    return err;
}

int frame_alloc(uint64_t *out_pfn) {
    return frame_alloc_run(1, out_pfn);
}

void frame_get(uint64_t pfn) {
    CHECK(atomic_fetch_add(&g_frame_refs[pfn], 1u) > 0);
}

void frame_put(uint64_t pfn) {
    uint32_t old = atomic_fetch_sub(&g_frame_refs[pfn], 1u);
    CHECK(old > 0);
    if (old == 1) {
        (void)atomic_fetch_sub(&g_frames_held, 1ull);
    }
}

uint64_t frames_total(void) {
    return FRAME_COUNT;
}

uint64_t vfs_harness_frames(void) {
    return atomic_load(&g_frames_held);
}

void mm_unmap_inode(struct inode *inode, uint64_t first_page, uint64_t page_count) {
    (void)inode;
    (void)first_page;
    (void)page_count;
}

/* ---- user memory: the test's own; the first page is not mapped ---- */

static bool user_ok(struct uaddr a) {
    return a.v >= PAGE_SIZE;
}

int copyin(void *dst, struct uaddr src, size_t len) {
    if (len != 0 && !user_ok(src)) {
        return -EFAULT;
    }
    memcpy(dst, (const void *)(uintptr_t)src.v, len);
    return 0;
}

int copyout(struct uaddr dst, const void *src, size_t len) {
    if (len != 0 && !user_ok(dst)) {
        return -EFAULT;
    }
    memcpy((void *)(uintptr_t)dst.v, src, len);
    return 0;
}

int64_t copyin_str(char *dst, struct uaddr src, size_t size) {
    if (!user_ok(src)) {
        return -EFAULT;
    }
    size_t len = strnlen((const char *)(uintptr_t)src.v, size);
    if (len == size) {
        return -ENAMETOOLONG;
    }
    memcpy(dst, (const void *)(uintptr_t)src.v, len + 1);
    return (int64_t)len;
}

size_t user_copy_in(struct uaddr src, void *dst, size_t len) {
    return copyin(dst, src, len) == 0 ? len : 0;
}

size_t user_copy_out(struct uaddr dst, const void *src, size_t len) {
    return copyout(dst, src, len) == 0 ? len : 0;
}

size_t user_zero(struct uaddr dst, size_t len) {
    memset((void *)(uintptr_t)dst.v, 0, len);
    return len;
}

int64_t mm_pin(struct mm *mm, struct uaddr addr, size_t len, bool write, struct hal_seg *segs,
               size_t seg_max, size_t *out_len) {
    return -EFAULT;
}

void mm_unpin(struct mm *mm, const struct hal_seg *segs, size_t seg_count) {
}

/* ---- credentials, limits, signals ---- */

static uint64_t g_file_limit = UINT64_MAX;

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
    struct cred *c = kmemdup(current->cred, sizeof(*c));
    ref_init(&c->ref);
    return c;
}

void cred_put(const struct cred *c) {
    struct cred *own = (struct cred *)(uintptr_t)c;
    if (ref_put(&own->ref)) {
        kfree(own);
    }
}

uint64_t rlimit_get(int resource) {
    return resource == 7 ? 1024 : g_file_limit; /* RLIMIT_NOFILE */
}

int signal_send_task(struct task *t, int signo, const struct ksiginfo *info) {
    g_last_signal = signo;
    return 0;
}

/* ---- others ---- */

uint32_t g_fsnotify_watches;

void fsnotify_post(struct inode *inode, uint32_t mask, const char *name, uint32_t cookie) {
}

void fsnotify_inode_gone(struct inode *inode) {
}

void epoll_file_released(struct file *f) {
}

int chrdev_open(uint64_t rdev, struct file *file) {
    return -ENXIO;
}

size_t strlcpy(char *dst, const char *src, size_t size);
size_t strlcpy(char *dst, const char *src, size_t size) {
    size_t len = strlen(src);
    memcpy(dst, src, MIN(len + 1, size));
    dst[size - 1] = '\0';
    return len;
}

/* ---- tasks ---- */

int64_t call(syscall_fn *fn, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
             uint64_t f) {
    struct sysargs args = {{a, b, c, d, e, f}};
    return fn(current, &args);
}

void vfs_harness_become(uint32_t uid, uint32_t gid, bool privileged) {
    struct cred *c = kzalloc(sizeof(*c));
    CHECK(c != NULL);
    ref_init(&c->ref);
    c->uid = c->euid = c->suid = c->fsuid = uid;
    c->gid = c->egid = c->sgid = c->fsgid = gid;
    c->cap_effective = c->cap_permitted = privileged ? UINT64_MAX : 0;
    const struct cred *old = current->cred;
    current->cred = c;
    if (old != NULL) {
        cred_put(old);
    }
}

static struct path g_root;

void vfs_harness_join(struct task *share) {
    struct task *t = current;
    static struct process processes[64];
    static uint32_t next;
    t->process = &processes[atomic_fetch_add(&next, 1u) % 64];
    t->process->pid = t->tid;
    vfs_harness_become(0, 0, true);
    if (share != NULL) {
        files_get(share->files);
        t->files = share->files;
    } else {
        t->files = files_create();
    }
    t->fs = fs_context_create(&g_root);
    CHECK(t->files != NULL && t->fs != NULL);
}

void vfs_harness_leave(void) {
    struct task *t = current;
    files_put(t->files);
    fs_context_put(t->fs);
    cred_put(t->cred);
    t->files = NULL;
    t->fs = NULL;
    t->cred = NULL;
}

static void (*g_tests)(void *arg);

static void first(void *arg) {
    struct super_block *sb;
    struct mount *m;
    /* The harness knows no frames; the linear map is ours. */
    struct hal_memory *mem = (struct hal_memory *)(uintptr_t)hal_memory();
    mem->frame_count = FRAME_COUNT;
    mem->linear = mmap(NULL, FRAME_COUNT * PAGE_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(mem->linear != MAP_FAILED);
    vfs_harness_become(0, 0, true);
    vfs_init();
    CHECK(g_tmpfs_type.mount(&g_tmpfs_type, "root", 0, "mode=755", &sb) == 0);
    CHECK(mount_attach(sb, NULL, 0, "root", &m) == 0);
    g_root = (struct path){m, m->root};
    vfs_harness_join(NULL);
    g_tests(arg);
    vfs_harness_leave();
}

void vfs_harness_main(void (*tests)(void *arg)) {
    g_tests = tests;
    harness_main(first);
}

bool oom_relieve(const void *wanted, bool may_wait) {
    return false; /* nobody to kill */
}

/* ---- signal-driven I/O: nobody asks for it here ---- */

int file_set_owner(struct file *f, const struct async_owner *owner) {
    return 0;
}

struct async_owner file_get_owner(struct file *f) {
    return (struct async_owner){0};
}

int file_set_signal(struct file *f, uint64_t signo) {
    return 0;
}

int32_t file_get_signal(struct file *f) {
    return 0;
}

int file_set_async(struct file *f, int fd, bool on) {
    return 0;
}

void file_async_release(struct file *f) {
}
