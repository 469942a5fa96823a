/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systrap platform: objects and the calls between its files.
 *
 * A space is a host process (stub) and a context one of its threads.  A zygote is a stub without
 * guest memory, one for each vCPU, whose seccomp filter carries that vCPU's listener; new spaces
 * are clones of a zygote, so their notifications come to that vCPU.  A context is always in one
 * state (enum ctx_state); in all but CTX_RUN and CTX_DEAD the host thread sleeps in a notification
 * that the Sentry holds, or is on its way into the next one of a batch.
 *
 * Locks: space->lock guards the space and the state of its contexts; vcpu->lock the thread table,
 * the ready list and the event list.  Order: space->lock, then vcpu->lock, then pools and areas.
 */
#ifndef MOAT_SYSTRAP_INTERNAL_H
#define MOAT_SYSTRAP_INTERNAL_H

#include "base/list.h"
#include "platform.h"
#include "platform/hal/host.h"
#include "platform/hal/plock.h"
#include "platform/systrap/stub_abi.h"

#include <linux/seccomp.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1ul << 5)
#endif

/* Signal that makes a stub thread trap. */
#define STUB_KICK_SIGNAL 10 /* SIGUSR1 */

enum ctx_state {
    CTX_UNBORN, /* its clone is queued or under way */
    CTX_PLAIN,  /* at a call made outside the stub text */
    CTX_FULL,   /* in the signal handler: full context at hand */
    CTX_POST,   /* its call was taken from its post; the host thread spins (post.c) */
    CTX_WAIT,   /* resumed with a full context, waits for another context's batch */
    CTX_BATCH,  /* carries out orders */
    CTX_RUN,    /* runs user code */
    CTX_LEAVE,  /* destroyed: held for good, or on its way out */
    CTX_DEAD,   /* its host thread is gone or was killed */
};

enum order_kind {
    ORDER_MAP,
    ORDER_UNMAP,
    ORDER_PROTECT,
    ORDER_AREA,      /* map the area of `child` in its slot */
    ORDER_PROCESS,   /* clone `child` as a process */
    ORDER_THREAD,    /* clone `child` as a thread */
    ORDER_BASE,      /* arch_prctl(pages, va): hosts without FSGSBASE */
    ORDER_RAW_UNMAP, /* munmap outside the guest's range: va, pages */
    ORDER_SKIP,      /* could not be made a call: its error is taken already */
};

struct order {
    uint8_t kind;
    uint8_t prot;
    bool populate;
    bool urgent; /* must come before user code: it takes rights away, or replaces a page */
    uint64_t va, pfn, pages;
    struct platform_thread *child;
    struct platform_thread *by; /* ORDER_PROCESS: only this context can make the call, as the child
                                   continues as its copy */
};

#define ORDER_CHUNK ((4096u - 16u) / sizeof(struct order))

struct order_chunk {
    struct order_chunk *next;
    uint64_t pad;
    struct order orders[ORDER_CHUNK];
};
_Static_assert(sizeof(struct order_chunk) <= 4096, "a chunk is a pool page");

/* FIFO of orders.  Guarded by the space's lock. */
struct order_queue {
    struct order_chunk *first, *last;
    uint32_t head, tail; /* in first, in last */
    uint32_t count;
    uint32_t urgent; /* how many of them are */
};

struct platform_space {
    struct plock lock; /* first: survives recycling (pool.c) */
    int32_t pid;       /* of the stub; 0 until its leader is born */
    struct vcpu *vcpu;
    struct order_queue queue;
    struct platform_thread *batcher; /* context that carries out orders now */
    uint32_t batch_left;             /* orders of the batch that were not yet seen */
    bool batch_reports;              /* the batch ends with a report */
    int batch_error;                 /* first failure */
    struct order last;               /* the order that was let go last */
    bool last_valid;
    struct list waiters; /* contexts in CTX_WAIT, by ready_link */
    struct list threads; /* by space_link */
    struct list spare; /* threads that are gone: slots with areas for the next one, by space_link */
    uint32_t thread_count; /* those the kernel has not destroyed */
    bool killed;           /* SIGKILL was sent because it broke the rules or died */
    bool loose;            /* a context was destroyed while it ran user code */
    bool doomed;           /* destroyed by the kernel before its stub was born */
    bool zygote;
    bool inherited_slots;               /* a fork of a space with more slots than the child's own */
    bool many;                          /* has had more than one thread */
    bool posts;                         /* has rewritten call sites */
    uint64_t ran;                       /* TSC ticks of all its threads in user code */
    uint64_t slots[STUB_SLOT_MAX / 64]; /* bit: the slot is mapped or about to be */
};

struct platform_thread {
    struct platform_space *space;
    struct vcpu *vcpu;
    struct task *task;
    struct list space_link; /* guarded by space->lock */
    struct list hash_link;  /* guarded by vcpu->lock */
    struct list ready_link; /* ready list (vcpu->lock) or waiters (space->lock) */
    enum ctx_state state;   /* guarded by space->lock; platform_kick reads it without */
    int32_t tid;
    uint32_t area;        /* index in the area file */
    uint32_t slot;        /* where it is mapped in the stub */
    struct stub_ctx *ctx; /* the area as the Sentry sees it; guest memory */
    uint64_t notif_id;
    uint64_t call_nr;    /* of the plain call held */
    uint32_t frame_off;  /* of the signal frame in the area */
    uint32_t kick;       /* atomic: a kick is wanted or under way */
    uint32_t kick_ticks; /* seconds that a kick went unanswered */
    bool birth;          /* the held notification maps the area of a new process */
    bool resumed;        /* CTX_UNBORN: run it at once */
    bool counted;        /* in vcpu->unborn */
    bool near_;          /* kept on one CPU while it clones */
    bool destroyed;      /* by the kernel */
    bool regs_dirty, bases_dirty;
    bool orders_first; /* a plain call was answered with a kick, to carry out urgent orders */
    bool unreported;   /* its last batch ended without a report: a failure may still come */
    bool post_call;    /* the call that the kernel works on was posted */
    bool post_later;   /* resumed, and waits for its notification to be let go */
    bool post_done;    /* its last post was answered, with `result` */
    uint32_t poller;   /* id plus one of the vCPU that looks at its post */
    uint32_t burst;    /* calls in quick succession */
    uint32_t misses;   /* posts in a row that nobody took */
    uint32_t taken;    /* posts since somebody looks */
    uint32_t sleeps;   /* grows with posted calls that slept, falls with others */
    uint64_t post_seq; /* the guest's count at the post that was taken last */
    uint64_t poll_after, poll_pause; /* TSC: when it may ask again, and how long it had to wait */
    enum resume_mode mode;
    int64_t result;
    struct user_regs regs;       /* copied once at the trap */
    struct trap ready;           /* trap to deliver from the ready list */
    uint64_t started, left, ran; /* TSC: last into user code, last out of it, spent there */
};

#define VCPU_HASH 256u
#define POLL_MAX  4u

/* A context whose post a vCPU looks at.  It may be gone, and something else in its place: `post`
 * stays readable, and the rest tells. */
struct post_watch {
    struct platform_thread *t;
    struct platform_space *space;
    struct stub_post *post;
    int32_t tid;
};

struct vcpu {
    /* Known to recv_wait (wait.S). */
    uint32_t attention; /* atomic: ATT_* */
    uint32_t waiting;   /* atomic: is or is about to be in the wait */

    uint32_t id;
    int listener;
    int32_t tid;       /* of the host thread */
    int timer;         /* POSIX timer */
    uint64_t armed_ns; /* 0: not armed */
    uint32_t unborn;   /* atomic: contexts asked of the zygote that are not there yet */
    uint64_t
        cpus[16]; /* host CPU that it and its stubs are kept on, as a mask: trap hand-over only */
    struct platform_thread *recent; /* whose notification came last; own, may be stale */
    struct platform_space *zygote_space;
    struct platform_thread *zygote;
    struct platform_thread *ask; /* atomic: a context that wants its post looked at */
    uint32_t ask_cpu;            /* host CPU that it ran on */
    uint32_t poll_count;         /* own, as the rest; others read it racily */
    struct post_watch polls[POLL_MAX];
    uint32_t served; /* posts taken since the first was opened */
    uint64_t opened; /* TSC */
    bool moved;      /* kept off another's CPU */
    bool answered;   /* a notification: its stub wants to run on this CPU */
    struct plock lock;
    struct list ready;  /* platform_thread.ready_link */
    struct list events; /* host_event.link */
    struct list hash[VCPU_HASH];
};
_Static_assert(offsetof(struct vcpu, attention) == 0 && offsetof(struct vcpu, waiting) == 4,
               "wait.S");

enum {
    ATT_KICK = 1u,
    ATT_READY = 2u,
    ATT_EVENT = 4u,
    ATT_TIMER = 8u,
    ATT_POLL = 16u,
};

struct systrap {
    struct platform_info info;
    char handover[200];
    uint32_t vcpu_count;
    struct vcpu *vcpus[HOST_VCPU_MAX];
    uint64_t affinity[16]; /* CPUs that we may use */
    bool fsgsbase;
    bool trap_only;   /* every call takes the handler (MOAT_HANDOVER_TRAP) */
    bool posts;       /* call sites may be rewritten */
    bool posts_eager; /* whoever posts asks for somebody who looks at once */
    uint32_t fp_room; /* bytes kept for the XSAVE image at the end of an area */
    bool fp_legacy;   /* frames hold what FXSAVE stores, and no more */
    uint32_t mxcsr_mask;
    int text_fd, area_fd;
    char *areas; /* the area file, mapped linearly */
};
extern struct systrap g_systrap;

/* ---- area.c ---- */
int area_init(void);
/* An area with zeroed context page and stack, or -ENOMEM. */
must_check int area_get(uint32_t *out_area);
void area_put(uint32_t area);
static inline struct stub_ctx *area_ptr(uint32_t area) {
    return (struct stub_ctx *)(g_systrap.areas + (size_t)area * STUB_AREA_SIZE);
}
void area_owner_set(uint32_t area, struct platform_thread *t);
struct platform_thread *area_owner(uint64_t area);
static inline uint64_t slot_va(uint32_t slot) {
    return STUB_SLOTS + (uint64_t)slot * STUB_AREA_SIZE;
}

/* ---- pool.c: fixed-size objects ---- */
void *pool_thread_get(void); /* zeroed, or NULL */
void pool_thread_put(void *t);
void *pool_space_get(void);
void pool_space_put(void *s);
void *pool_page_get(void); /* 4 KiB, not zeroed */
void pool_page_put(void *p);

/* ---- queue.c ---- */
must_check int queue_push(struct order_queue *q, const struct order *o);
struct order *queue_head(struct order_queue *q); /* NULL when empty */
/* The i-th order from the head. */
struct order *queue_at(struct order_queue *q, uint32_t i);
struct order *queue_last(struct order_queue *q);
void queue_pop(struct order_queue *q);

/* ---- frame.c: signal frames in areas ---- */
void frame_init_cpu(void);
/* A frame with initial state for a context that never ran. */
void frame_make(struct platform_thread *t);
/* Copies parent's frame and FPU image to child's area at the same offset, moved to child's slot. */
must_check int frame_copy(struct platform_thread *child, const struct platform_thread *parent);
/* Takes registers from the frame at ucontext address `uc` of t's slot; -EFAULT when it is not
 * inside. */
must_check int frame_load(struct platform_thread *t, uint64_t uc, uint64_t fs, uint64_t gs);
/* Writes changed registers back. */
void frame_store(struct platform_thread *t);
static inline struct stub_frame *frame_of(const struct platform_thread *t) {
    return (struct stub_frame *)((char *)t->ctx + t->frame_off);
}
static inline uint64_t frame_va(const struct platform_thread *t) {
    return slot_va(t->slot) + t->frame_off;
}
uint32_t frame_default_off(void);

/* ---- notify.c: the listener's ioctls ---- */
int notify_send(int listener, uint64_t id, int64_t value);
int notify_continue(int listener, uint64_t id);
int notify_setup(int listener, bool sync_wake);

/* ---- filter.c ---- */
struct sock_filter;
/* Writes the stubs' filter; instructions written (at most FILTER_MAX). */
#define FILTER_MAX 320
uint32_t filter_build(struct sock_filter *out, bool trap_only);

/* ---- near.c: where newborn stubs run ---- */
/* Keeps t on the caller's CPU, so that what it clones is born there; and lets a thread go again. */
void near_begin(struct platform_thread *t);
void near_end(struct platform_thread *t);
/* The same for a newborn, which inherited its parent's mask. */
void near_newborn(const struct platform_thread *t);

/* ---- zygote.c ---- */
must_check int zygote_fork(struct vcpu *v);
/* Takes the listener of a forked zygote. */
must_check int zygote_await(struct vcpu *v);
/* Gives up on a zygote that nothing was asked of. */
void zygote_discard(struct vcpu *v);
/* Nanoseconds of the quickest of a few round trips to a fresh zygote: by notification alone, and
 * through the handler with nothing that newer hosts have to make it quick. */
void zygote_measure(struct vcpu *v, uint64_t *out_notify_ns, uint64_t *out_trap_ns);

/* ---- batch.c: carrying out orders; the space is locked ---- */
/* True when the next order is one that another context must carry out. */
bool batch_blocked(const struct platform_thread *t);
/* Starts a batch with t, which is in CTX_FULL: the command word for its stub. */
uint64_t batch_begin(struct platform_thread *t, enum resume_mode mode);
/* A notification of the order instruction. */
void batch_order(struct platform_thread *t, const struct seccomp_notif *n);
/* A report.  True: `out` is a trap for the kernel. */
bool batch_report(struct platform_thread *t, const struct seccomp_notif *n, struct trap *out);
/* Forgets the queue of a space that ends. */
void batch_abandon(struct platform_space *s);

/* ---- context.c: life and states of contexts; the space is locked unless said otherwise ---- */
/* A new context with an area, in slot `slot` (not locked: nobody knows the space yet, or locked).
 */
must_check int thread_new(struct platform_space *s, struct task *task, uint32_t slot,
                          struct platform_thread **out);
void thread_free(struct platform_thread *t);
/* The host thread is gone: its slot and area serve the next one. */
void thread_gone(struct platform_thread *t);
void thread_hash_add(struct platform_thread *t);
void thread_hash_del(struct platform_thread *t);
/* Not locked; NULL when unknown. */
struct platform_thread *thread_lookup(struct vcpu *v, int32_t tid);
/* Delivers t->ready from a later platform_wait. */
void thread_post(struct platform_thread *t, enum trap_kind kind);
void thread_unpost(struct platform_thread *t);
/* The context cannot run any more; tells the kernel if it believes that it runs. */
void thread_dead(struct platform_thread *t);
/* Answers t's notification (CTX_FULL) so that it goes on with `command`; false when the thread is
 * gone. */
bool thread_answer(struct platform_thread *t, uint64_t command);
/* Lets it run user code. */
void thread_run(struct platform_thread *t);
/* The kernel resumes it. */
void thread_resume(struct platform_thread *t, enum resume_mode mode);
/* The same, and unlocks the space. */
void thread_resume_unlock(struct platform_thread *t, enum resume_mode mode);
void thread_signal(const struct platform_thread *t);
/* Into user code from now on: a kick that was asked for meanwhile is sent. */
void thread_enter_user(struct platform_thread *t);

void thread_leave_user(struct platform_thread *t);

/* ---- filter.c ---- */
/* The calls that are plain notifications: rows of stub_calls.def. */
extern const uint16_t g_notify_calls[];
extern const size_t g_notify_call_count;

/* ---- post.c: calls that do not enter the host's kernel; the space is locked unless said otherwise
 * ---- */
void post_init(void);
/* A plain call was made; `before` is when the one before it was (TSC): may ask for somebody who
 * looks. */
void post_ask(struct platform_thread *t, uint64_t before);
/* Answers a call that was taken from a post. */
void post_resume(struct platform_thread *t, enum resume_mode mode);
/* STUB_NR_WAIT arrived; false when it should not have. */
bool post_sleeps(struct platform_thread *t, const struct seccomp_notif *n);
/* Registers were loaded from a frame: if it is in the middle of a post, they become those before or
 * behind the call.  False when no guest that keeps to the rules can be there. */
bool post_unwind(struct platform_thread *t);
/* On the vCPU's own thread, nothing locked: takes note of v->ask. */
void post_open(struct vcpu *v);
/* The same; contexts whose calls are still being worked on need not spin. */
void post_quiet(struct vcpu *v);
/* The same: looks until a post is there (true: `out` is its trap), there is something else to do,
 * or nobody needs it any more.  once: no longer than one look. */
bool post_poll(struct vcpu *v, bool once, struct trap *out);
static inline uint64_t post_va(const struct platform_thread *t) {
    return slot_va(t->slot) + STUB_POST;
}

/* ---- space.c ---- */
/* How many contexts of the vCPU run user code or did a moment ago, not counting those of `task`. */
uint32_t vcpu_load(struct vcpu *v, const struct task *task);
must_check int space_new(struct vcpu *v, struct platform_space **out);
/* platform_space_create on this vCPU. */
must_check int space_create_on(struct vcpu *v, struct task *task, struct platform_space **out_space,
                               struct platform_thread **out_thread);
/* The stub broke the rules or died: kills it and marks all contexts that run dead. */
void space_kill(struct platform_space *s, const char *why);
/* Frees everything; the stub has been killed. */
void space_free(struct platform_space *s);
/* Contexts that waited for a batch go on. */
void space_wake_waiters(struct platform_space *s);
/* The clone of `child` failed (its own space is not locked). */
void child_failed(struct platform_thread *child);
/* It is there, or will not be: no longer counts as asked for. */
static inline void child_settled(struct platform_thread *child) {
    if (child->counted) {
        child->counted = false;
        (void)atomic_fetch_sub(&child->vcpu->unborn, 1u); /* the old count is of no use */
    }
}

/* ---- receive.c ---- */
/* Handles a notification; true when `out` is a trap for the kernel. */
bool receive(struct vcpu *v, const struct seccomp_notif *n, struct trap *out);

/* ---- wait.S ---- */
long recv_wait(struct vcpu *v, int listener, struct seccomp_notif *n);
extern const char recv_wait_begin[], recv_wait_end[], recv_wait_abort[];

/* ---- vcpu.c ---- */
void vcpu_thread_start(struct vcpu *v);
/* Keeps the calling thread on the vCPU's host CPU (trap hand-over only). */
void vcpu_pin(const struct vcpu *v);
/* A notification waits to be received. */
bool vcpu_readable(struct vcpu *v);
/* Sets attention bits and gets the vCPU out of a wait. */
void vcpu_attend(struct vcpu *v, uint32_t bits);
static inline struct vcpu *vcpu_of(uint32_t id) {
    return g_systrap.vcpus[id];
}

/* ---- init.c ---- */
/* Stubs and listeners; before any thread exists. */
int systrap_init(const struct moat_boot *boot);

#endif
