/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts of the skeleton.  They keep what the kernel gives them (registers, FPU image, result)
 * and never run: platform_wait returns TRAP_NONE at once.  A real platform fills in the running.
 */
#include "platform/skeleton/space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FPSTATE_SIZE 832u

struct platform_thread {
    struct platform_space *space;
    struct task *task;
    struct user_regs regs;
    uint8_t fpstate[FPSTATE_SIZE];
    int64_t result;
    uint32_t vcpu;
};

static const struct platform_info g_info = {
    .name = "skeleton",
    .handover = "none: runs no user code",
    .vcpu_count = 2,
    .user_start = 64 * KIB,
    .user_end = 0x7ffffffff000ull,
    .fpstate_size = FPSTATE_SIZE,
    .xfeatures = 7,
};

const struct platform_info *platform_info(void) {
    return &g_info;
}

/* ---- running ---- */

void platform_wait(uint32_t vcpu, const struct resume *resume, uint64_t deadline_ns,
                   struct trap *out_trap) {
    *out_trap = (struct trap){.kind = TRAP_NONE};
}

void platform_resume(uint32_t vcpu, const struct resume *resume) {
}

bool platform_call_posts(uint64_t nr) {
    return false;
}

void platform_thread_pid(struct platform_thread *thread, int32_t pid) {
}

void platform_space_posts(struct platform_space *space) {
}

void platform_kick_vcpu(uint32_t vcpu) {
}

void platform_kick(struct platform_thread *thread) {
}

uint32_t platform_thread_vcpu(const struct platform_thread *thread) {
    return thread->vcpu;
}

/* ---- contexts ---- */

void platform_result_set(struct platform_thread *thread, int64_t result) {
    thread->result = result;
    thread->regs.rax = (uint64_t)result;
}

void platform_regs_get(struct platform_thread *thread, struct user_regs *out_regs) {
    *out_regs = thread->regs;
}

void platform_regs_set(struct platform_thread *thread, const struct user_regs *regs) {
    thread->regs = *regs;
}

int platform_fpstate_get(struct platform_thread *thread, void *buf) {
    memcpy(buf, thread->fpstate, FPSTATE_SIZE);
    return 0;
}

int platform_fpstate_set(struct platform_thread *thread, const void *buf) {
    memcpy(thread->fpstate, buf, FPSTATE_SIZE);
    return 0;
}

void platform_fpstate_reset(struct platform_thread *thread) {
    memset(thread->fpstate, 0, FPSTATE_SIZE);
}

uint64_t platform_thread_cpu_ns(struct platform_thread *thread) {
    return 0;
}

static struct platform_thread *thread_new(struct platform_space *space, struct task *task,
                                          uint32_t vcpu) {
    struct platform_thread *t = calloc(1, sizeof(*t));
    if (t != NULL) {
        t->space = space;
        t->task = task;
        t->vcpu = vcpu;
    }
    return t;
}

void platform_thread_set_task(struct platform_thread *thread, struct task *task) {
    thread->task = task;
}

void platform_thread_destroy(struct platform_thread *thread) {
    free(thread);
}

/* ---- spaces ---- */

int platform_space_create(uint32_t vcpu, struct task *task, struct platform_space **out_space,
                          struct platform_thread **out_thread) {
    struct platform_space *s = space_new();
    *out_thread = thread_new(s, task, vcpu);
    if (*out_thread == NULL) {
        platform_space_destroy(s);
        return -ENOMEM;
    }
    *out_space = s;
    return 0;
}

int platform_space_fork(struct platform_thread *parent, struct task *child,
                        struct platform_space **out_space, struct platform_thread **out_thread) {
    int err = platform_space_create(parent->vcpu, child, out_space, out_thread);
    if (err != 0) {
        return err;
    }
    const struct skeleton_order o = {.kind = SKELETON_FORK, .child = *out_space};
    err = space_order(parent->space, &o);
    if (err != 0) {
        platform_thread_destroy(*out_thread);
        platform_space_destroy(*out_space);
        return err;
    }
    (*out_thread)->regs = parent->regs;
    return 0;
}

int platform_thread_clone(struct platform_thread *parent, struct task *child,
                          struct platform_thread **out_thread) {
    *out_thread = thread_new(parent->space, child, parent->vcpu);
    if (*out_thread == NULL) {
        return -ENOMEM;
    }
    (*out_thread)->regs = parent->regs;
    return 0;
}
