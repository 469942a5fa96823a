/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the platform door alone: a kernel of a few lines (seam_kernel.c) that loads
 * position-independent machine code (seam_guest.S) into a space and answers its traps.
 */
#ifndef MOAT_TESTS_SEAM_H
#define MOAT_TESTS_SEAM_H

#include "hal.h"
#include "platform.h"

/* Where guest code and data are mapped. */
#define GUEST_CODE  0x400000ull
#define GUEST_DATA  0x600000ull
#define GUEST_STACK 0x700000ull /* end of the stack page */

struct seam_test {
    const char *name;
    void (*run)(void);
    bool control; /* wants a control channel, with a message waiting */
};
extern const struct seam_test g_seam_tests[];
extern const size_t g_seam_test_count;
extern const struct seam_test g_seam_hal_tests[];
extern const size_t g_seam_hal_test_count;
/* Before the Sentry starts: descriptors for the HAL's tests; its end of the control channel. */
int seam_hal_prepare(void);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            seam_fail(__FILE__, __LINE__, #cond);                                                  \
        }                                                                                          \
    } while (0)
noreturn_fn void seam_fail(const char *file, int line, const char *what);
void seam_say(const char *format, ...) printf_like(1, 2);

/* ---- seam_filter.c ---- */
void seam_filter_test(void);

/* ---- seam_post.c ---- */
void seam_post_calls(void);
void seam_post_kicks(void);
void seam_post_sleeps(void);
void seam_post_refused(void);
void seam_post_ends(void);

/* ---- seam_kernel.c ---- */
/* A context of the tests: the cookie of its platform thread. */
struct task {
    struct platform_space *space;
    struct platform_thread *thread;
    struct user_regs regs;
    struct trap last;
};

extern const char guest_start[], guest_end[];
#define GUEST(label) (GUEST_CODE + (uint64_t)((label)-guest_start))

/* A space with the guest's code, one data page and one stack page mapped; ready to run at `entry`.
 */
void seam_start(struct task *t, uint64_t entry);
/* Likewise, on this vCPU. */
void seam_start_on(struct task *t, uint32_t vcpu, uint64_t entry);
/* Frames: page k of the test's own choice. */
void *seam_page(uint64_t pfn);
#define PFN_CODE  1ull
#define PFN_DATA  2ull
#define PFN_STACK 3ull
#define PFN_FREE  16ull /* and above */
/* Resumes t and waits for the next trap of any context of its vCPU. */
struct trap *seam_run(struct task *t, enum resume_mode mode);
/* The next trap, for at most ten seconds. */
void seam_next(uint32_t vcpu, const struct resume *r, struct trap *out);
/* Runs t until it exits (call 60); answers getppid with 7; returns the exit status. */
uint64_t seam_exit_of(struct task *t);
void seam_destroy(struct task *t);
/* What vCPUs other than 0 do: nothing, until seam_smp gives each a function to run once. */
noreturn_fn void seam_vcpu(uint32_t vcpu);
void seam_smp(void (*fn)(uint32_t vcpu));
void seam_event(uint64_t cookie, uint32_t events);
extern uint64_t g_event_cookie;
extern uint32_t g_event_count;

#endif
