/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual CPUs: where they wait, and what gets them out of a wait (the design's "platform_wait"
 * door).
 *
 * attention collects why a vCPU has to look up; it is sticky until the vCPU took note.  Who sets a
 * bit looks at `waiting` afterwards and signals the thread if it is set; recv_wait (wait.S) sets
 * `waiting` before it looks at attention.  Deadlines are a POSIX timer for each vCPU, armed only
 * when the next deadline is earlier than the armed one.
 */
#include "platform/systrap/internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include "base/string.h"
#include <time.h>

void vcpu_attend(struct vcpu *v, uint32_t bits) {
    (void)__atomic_fetch_or(&v->attention, bits, __ATOMIC_SEQ_CST); /* the old bits are of no use */
    if (__atomic_load_n(&v->waiting, __ATOMIC_SEQ_CST) != 0) {
        (void)sys3(SYS_tgkill, 1, v->tid,
                   HOST_KICK_SIGNAL); /* the thread lives as long as the process */
    }
}

void platform_kick_vcpu(uint32_t vcpu) {
    vcpu_attend(vcpu_of(vcpu), ATT_KICK);
}

void vcpu_pin(const struct vcpu *v) {
    if (g_systrap.trap_only) { /* without it calls only cost more */
        (void)sys3(SYS_sched_setaffinity, 0, sizeof(v->cpus), (long)&v->cpus);
    }
}

/* Creates the timer of the calling vCPU thread. */
void vcpu_thread_start(struct vcpu *v) {
    struct sigevent ev;
    memset(&ev, 0, sizeof(ev));
    v->tid = (int32_t)sys0(SYS_gettid);
    vcpu_pin(v);
    ev.sigev_notify = SIGEV_THREAD_ID;
    ev.sigev_signo = HOST_KICK_SIGNAL;
    ev.sigev_value.sival_ptr = v;
    ev._sigev_un._tid = v->tid;
    if (sys3(SYS_timer_create, CLOCK_MONOTONIC, (long)&ev, (long)&v->timer) != 0) {
        host_die("vcpu %u: cannot create its timer", v->id);
    }
}

/* Sees to it that the timer fires no later than `deadline`. */
static void arm(struct vcpu *v, uint64_t deadline_ns) {
    if (deadline_ns == UINT64_MAX || (v->armed_ns != 0 && v->armed_ns <= deadline_ns)) {
        return;
    }
    struct itimerspec its = {.it_value = {.tv_sec = (time_t)(deadline_ns / NSEC_PER_SEC),
                                          .tv_nsec = (long)(deadline_ns % NSEC_PER_SEC)}};
    v->armed_ns = deadline_ns;
    if (sys4(SYS_timer_settime, v->timer, TIMER_ABSTIME, (long)&its, 0) != 0) {
        host_die("vcpu %u: cannot arm its timer", v->id);
    }
}

void host_vcpu_post(struct host_event *ev) {
    struct vcpu *v = vcpu_of(0);
    for (uint32_t i = 0; i < g_systrap.vcpu_count; i++) {
        if (atomic_load_relaxed(&vcpu_of(i)->waiting) != 0) {
            v = vcpu_of(i);
            break;
        }
    }
    plock_lock(&v->lock);
    if (!atomic_exchange(&ev->queued, true)) {
        ev->vcpu = v->id;
        list_push_back(&v->events, &ev->link);
    }
    plock_unlock(&v->lock);
    vcpu_attend(v, ATT_EVENT);
}

/* Calls the kernel for each event posted. */
static void deliver_events(struct vcpu *v) {
    for (;;) {
        struct host_event *ev = NULL;
        plock_lock(&v->lock);
        if (!list_empty(&v->events)) {
            ev = list_first(&v->events, struct host_event, link);
            list_del_init(&ev->link);
            atomic_store(&ev->queued,
                         false); /* before the kernel looks: what comes now is posted anew */
        }
        plock_unlock(&v->lock);
        if (ev == NULL) {
            return;
        }
        uint64_t cookie;
        uint32_t events;
        if (host_event_take(ev, &cookie, &events)) {
            sentry_host_event(cookie, events);
        }
    }
}

/* A trap that was posted; false when there is none. */
static bool deliver_ready(struct vcpu *v, struct trap *out) {
    bool found = false;
    plock_lock(&v->lock);
    if (!list_empty(&v->ready)) {
        struct platform_thread *t = list_first(&v->ready, struct platform_thread, ready_link);
        list_del_init(&t->ready_link);
        *out = t->ready;
        out->thread = t;
        out->task = t->task;
        found = true;
    }
    if (list_empty(&v->ready)) {
        (void)atomic_fetch_and(&v->attention,
                               ~(uint32_t)ATT_READY); /* the old bits are of no use */
    }
    plock_unlock(&v->lock);
    return found;
}

/* Takes note of v->attention; true when platform_wait has something to return. */
static bool attend(struct vcpu *v, uint64_t deadline_ns, struct trap *out) {
    uint32_t bits =
        atomic_fetch_and(&v->attention, ~(uint32_t)(ATT_KICK | ATT_EVENT | ATT_TIMER | ATT_POLL));
    bool look_up = (bits & ATT_KICK) != 0;
    if ((bits & ATT_EVENT) != 0) {
        deliver_events(v);
        look_up = true;
    }
    if ((bits & ATT_TIMER) != 0) {
        v->armed_ns = 0;
    }
    if ((bits & ATT_POLL) != 0) {
        post_open(v);
    }
    if ((bits & ATT_READY) != 0 && deliver_ready(v, out)) {
        if (look_up) { /* sticky */
            (void)atomic_fetch_or(&v->attention,
                                  (uint32_t)ATT_KICK); /* the old bits are of no use */
        }
        return true;
    }
    if ((bits & ATT_TIMER) != 0 && deadline_ns != UINT64_MAX && host_now_ns() >= deadline_ns) {
        look_up = true;
    }
    return look_up;
}

bool vcpu_readable(struct vcpu *v) {
    struct pollfd p = {.fd = v->listener, .events = POLLIN};
    long nothing[2] = {0, 0};
    return sys5(SYS_ppoll, (long)&p, 1, (long)nothing, 0, 0) == 1 && (p.revents & POLLIN) != 0;
}

void platform_resume(uint32_t vcpu, const struct resume *resume) {
    struct platform_thread *t = resume->thread;
    plock_lock(&t->space->lock);
    if (t->state != CTX_POST) {
        vcpu_of(vcpu)->answered = true;
    }
    thread_resume_unlock(t, resume->mode);
}

void platform_wait(uint32_t vcpu, const struct resume *resume, uint64_t deadline_ns,
                   struct trap *out_trap) {
    struct vcpu *v = vcpu_of(vcpu);
    struct seccomp_notif n;
    if (resume != NULL) {
        platform_resume(vcpu, resume);
    }
    post_quiet(v);
    for (;;) {
        out_trap->kind = TRAP_NONE;
        out_trap->thread = NULL;
        if (unlikely(atomic_load_relaxed(&v->attention) != 0) && attend(v, deadline_ns, out_trap)) {
            return;
        }
        if (unlikely(v->poll_count != 0) && post_poll(v, deadline_ns == 0, out_trap)) {
            return;
        }
        if (deadline_ns == 0) {
            if (!vcpu_readable(v)) {
                return;
            }
        } else {
            arm(v, deadline_ns);
        }
        memset(&n, 0, sizeof(n));
        long err = recv_wait(v, v->listener, &n);
        if (likely(err == 0)) {
            if (receive(v, &n, out_trap)) {
                return;
            }
        } else if (err != -EINTR && err != -ENOENT) {
            host_die("vcpu %u: receiving failed: %ld", vcpu, err);
        }
    }
}

/* Contexts that were in user code at one moment, looked at without locks held long. */
struct tick_found {
    struct platform_thread *t;
    struct platform_space *s;
    int32_t tid;
};

static bool tick_concerns(const struct platform_thread *t) {
    return t->state == CTX_RUN || t->state == CTX_BATCH || t->state == CTX_POST;
}

static uint32_t tick_collect(struct vcpu *v, struct tick_found *found, uint32_t max) {
    uint32_t n = 0;
    struct platform_thread *t;
    plock_lock(&v->lock);
    for (uint32_t i = 0; i < VCPU_HASH; i++) {
        list_for_each_entry (t, &v->hash[i], hash_link) {
            if (tick_concerns(t) && n < max) {
                found[n++] = (struct tick_found){t, t->space, t->tid};
            }
        }
    }
    plock_unlock(&v->lock);
    return n;
}

#define TICK_MAX        256u
#define KICK_TICKS_DEAD 3u

static void tick_one(const struct tick_found *f) {
    struct platform_space *s = f->s;
    plock_lock(&s->lock);
    if (f->t->space == s && f->t->tid == f->tid && tick_concerns(f->t)) {
        if (sys3(SYS_tgkill, s->pid, f->tid, 0) == -ESRCH) {
            space_kill(s, "it died");
        } else if (f->t->state != CTX_POST && atomic_load(&f->t->kick) != 0 &&
                   ++f->t->kick_ticks >= KICK_TICKS_DEAD) {
            space_kill(s, "it does not answer a kick");
        }
    }
    plock_unlock(&s->lock);
}

bool host_platform_tick(void) {
    static struct tick_found found[TICK_MAX];
    bool any = false;
    for (uint32_t i = 0; i < g_systrap.vcpu_count; i++) {
        uint32_t n = tick_collect(vcpu_of(i), found, TICK_MAX);
        any = any || n != 0;
        for (uint32_t k = 0; k < n; k++) {
            tick_one(&found[k]);
        }
    }
    return any;
}
