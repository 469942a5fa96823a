/* SPDX-License-Identifier: Apache-2.0 */
/* HAL, platform and process layer for tests of the kernel's core: see kernel_harness.h. */
#include "kernel_harness.h"

#include "hal.h"
#include "kernel/kmalloc.h"
#include "kernel/loadavg.h"
#include "kernel/log.h"
#include "kernel/signal.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#undef current /* pthread.h and friends do not know it */

#define HEAP_SIZE (256ull << 20)

struct platform_thread {
    struct task *task;
    uint64_t calls_left;
    uint32_t vcpu;
    bool kicked;                  /* guarded by g_vcpus[vcpu].lock, as the next two */
    struct platform_thread *next; /* has a trap to deliver */
    struct trap trap;
    void (*on_call)(struct task *t);
};

struct vcpu {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool kicked;                   /* guarded by lock */
    struct platform_thread *ready; /* guarded by lock */
};

static struct hal_memory g_memory;
static struct platform_info g_info = {.name = "test", .handover = "none", .vcpu_count = TEST_VCPUS};
static struct vcpu g_vcpus[TEST_VCPUS];
static uint32_t g_live; /* atomic: tasks that have not ended */
static uint32_t g_next_tid = 1;
struct spinlock g_tasklist_lock = SPINLOCK_INIT(RANK_TASKLIST);

/* ---- hal ---- */

const struct hal_memory *hal_memory(void) {
    return &g_memory;
}

void hal_heap_punch(void *start, size_t len) {
    CHECK(madvise(start, len, MADV_DONTNEED) == 0);
}

void hal_cpu_set(void *cpu) {
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, cpu) == 0);
}

void hal_park(uint32_t *word, uint32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void hal_unpark(uint32_t *word, uint32_t count) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void hal_exit(int status) {
    _exit(status);
}

uint64_t hal_clock_ns(enum hal_clock clock) {
    struct timespec ts;
    clock_gettime((clockid_t)clock, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t harness_now_ns(void) {
    return hal_clock_ns(HAL_CLOCK_MONOTONIC);
}

void hal_random(void *buf, size_t len) {
    CHECK(getrandom(buf, len, 0) == (ssize_t)len);
}

void hal_log(enum hal_log_level level, const char *line, size_t len) {
    (void)level;
    fprintf(stderr, "kernel: %.*s\n", (int)len, line);
}

enum hal_log_level hal_log_level(void) {
    return HAL_LOG_INFO;
}

bool hal_strace_enabled(void) {
    return false;
}

/* ---- platform ---- */

const struct platform_info *platform_info(void) {
    return &g_info;
}

/* The user program "runs": its next trap is ready at once on its vCPU. */
static void thread_run(struct platform_thread *th, bool wake) {
    struct vcpu *v = &g_vcpus[th->vcpu];
    pthread_mutex_lock(&v->lock);
    th->trap = (struct trap){.thread = th, .task = th->task, .kind = TRAP_SYSCALL};
    if (th->kicked) {
        th->kicked = false;
        th->trap.kind = TRAP_INTERRUPT;
        th->trap.full_context = true;
    }
    th->next = v->ready;
    v->ready = th;
    if (wake) {
        pthread_cond_signal(&v->cond);
    }
    pthread_mutex_unlock(&v->lock);
}

void platform_resume(uint32_t vcpu, const struct resume *resume) {
    (void)vcpu;
    thread_run(resume->thread, true);
}

void platform_wait(uint32_t vcpu, const struct resume *resume, uint64_t deadline_ns,
                   struct trap *out_trap) {
    struct vcpu *v = &g_vcpus[vcpu];
    if (resume != NULL) {
        thread_run(resume->thread, resume->thread->vcpu != vcpu);
    }
    pthread_mutex_lock(&v->lock);
    while (v->ready == NULL && !v->kicked && harness_now_ns() < deadline_ns) {
        struct timespec ts = {(time_t)(deadline_ns / NSEC_PER_SEC),
                              (long)(deadline_ns % NSEC_PER_SEC)};
        if (deadline_ns == UINT64_MAX) {
            pthread_cond_wait(&v->cond, &v->lock);
        } else {
            pthread_cond_timedwait(&v->cond, &v->lock, &ts);
        }
    }
    *out_trap = (struct trap){.kind = TRAP_NONE};
    if (v->ready != NULL) {
        struct platform_thread *th = v->ready;
        v->ready = th->next;
        *out_trap = th->trap;
    } else {
        v->kicked = false;
    }
    pthread_mutex_unlock(&v->lock);
}

bool platform_call_posts(uint64_t nr) {
    return false;
}

void platform_thread_pid(struct platform_thread *thread, int32_t pid) {
}

void platform_space_posts(struct platform_space *space) {
}

void platform_kick_vcpu(uint32_t vcpu) {
    struct vcpu *v = &g_vcpus[vcpu];
    pthread_mutex_lock(&v->lock);
    v->kicked = true;
    pthread_cond_signal(&v->cond);
    pthread_mutex_unlock(&v->lock);
}

void platform_kick(struct platform_thread *thread) {
    struct vcpu *v = &g_vcpus[thread->vcpu];
    pthread_mutex_lock(&v->lock);
    thread->kicked = true;
    pthread_mutex_unlock(&v->lock);
}

bool platform_orders_pending(const struct platform_space *space) {
    (void)space;
    return false;
}

uint64_t platform_thread_cpu_ns(struct platform_thread *thread) {
    (void)thread;
    return 0;
}

void mm_orders_done(struct mm *mm);
void mm_orders_done(struct mm *mm) {
    (void)mm;
}

/* ---- processes and signals ---- */

bool signal_pending(struct task *t) {
    return (atomic_load(&t->flags) & TASK_F_SIGPENDING) != 0;
}

bool signal_fatal_pending(struct task *t) {
    return (atomic_load(&t->flags) & TASK_F_KILLED) != 0;
}

void loadavg_poke(void) {
}

void harness_signal(struct task *t) {
    (void)atomic_fetch_or(&t->flags, (uint32_t)TASK_F_SIGPENDING);
    task_interrupt(t, false);
}

void task_put(struct task *t) {
    if (ref_put(&t->ref)) {
        kstack_free(t->kstack);
        free(t->pthread);
        kfree(t);
        (void)atomic_fetch_sub(&g_live, 1u);
    }
}

void task_exit(int32_t code) {
    (void)code;
    sched_exit();
}

void task_user_loop(struct task *t) {
    for (;;) {
        sched_user(t, RESUME_USER);
        switch (t->trap.kind) {
        case TRAP_SYSCALL:
            t->pthread->on_call(t);
            if (--t->pthread->calls_left == 0) {
                task_exit(0);
            }
            break;
        case TRAP_NONE:
        case TRAP_INTERRUPT:
            (void)atomic_fetch_and(&t->flags, ~(uint32_t)TASK_F_SIGPENDING);
            break;
        default:
            CHECK(!"unexpected trap");
        }
    }
}

static struct task *task_make(void) {
    struct task *t = kzalloc(sizeof(*t));
    CHECK(t != NULL);
    ref_init(&t->ref);
    spin_init(&t->lock, RANK_TASK);
    t->tid = (int32_t)atomic_fetch_add(&g_next_tid, 1u);
    t->kstack = kstack_alloc();
    CHECK(t->kstack != NULL);
    (void)atomic_fetch_add(&g_live, 1u);
    return t;
}

void harness_thread(void (*fn)(void *arg), void *arg) {
    struct task *t = task_make();
    t->is_kthread = true;
    t->kthread_fn = fn;
    t->kthread_arg = arg;
    sched_start(t);
}

void harness_user(uint64_t calls, void (*on_call)(struct task *t)) {
    struct task *t = task_make();
    t->pthread = calloc(1, sizeof(*t->pthread));
    CHECK(t->pthread != NULL);
    t->pthread->task = t;
    t->pthread->calls_left = calls;
    t->pthread->vcpu = (uint32_t)t->tid % TEST_VCPUS;
    t->pthread->on_call = on_call;
    sched_start(t);
}

/* ---- running ---- */

static void harness_init(void) {
    g_memory.heap = mmap(NULL, HEAP_SIZE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(g_memory.heap != MAP_FAILED);
    g_memory.heap_size = HEAP_SIZE;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    for (int i = 0; i < TEST_VCPUS; i++) {
        pthread_mutex_init(&g_vcpus[i].lock, NULL);
        pthread_cond_init(&g_vcpus[i].cond, &attr);
    }
    sched_init();
    hal_cpu_set(cpu_get(0));
    kmalloc_init();
}

static void *vcpu_thread(void *arg) {
    sentry_vcpu_main((uint32_t)(uintptr_t)arg);
}

void harness_run(void (*fn)(void *arg), void *arg) {
    harness_thread(fn, arg);
    while (atomic_load(&g_live) != 1) { /* only the caller is left */
        int err = task_block(harness_now_ns() + NSEC_PER_MSEC, BLOCK_UNINTERRUPTIBLE);
        CHECK(err == 0 || err == -ETIMEDOUT);
    }
}

static void first_thread(void *arg) {
    void (*tests)(void *) = (void (*)(void *))arg;
    tests(NULL);
    fflush(stdout);
    _exit(0);
}

void harness_main(void (*tests)(void *arg)) {
    harness_init();
    harness_thread(first_thread, (void *)tests);
    for (uintptr_t i = 1; i < TEST_VCPUS; i++) {
        pthread_t th;
        CHECK(pthread_create(&th, NULL, vcpu_thread, (void *)i) == 0);
    }
    sentry_vcpu_main(0);
}
