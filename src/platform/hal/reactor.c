/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reactor: one thread that sleeps in epoll for all watched host descriptors and the control
 * socket, and posts what became ready to a vCPU.  It never calls the kernel.  While guest code runs
 * it also looks once a second for stubs that died or do not answer (host_platform_tick).
 *
 * Locks: g_watch_lock guards the table of watches; it is never held while posting.
 */
#include "platform/hal/host.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#define WATCH_MAX     HOST_FD_MAX
#define REACTOR_STACK (64u * 1024u)
#define BATCH         32
#define TICK_MS       1000
#define DATA_TICK     UINT32_MAX

static int g_epoll = -1, g_tick_fd = -1;
static struct plock g_watch_lock;
static struct host_event *
    *g_watches; /* by descriptor; guarded by g_watch_lock, entries live for ever */
static struct host_event g_control_event;
static int g_control_fd = -1;
static uint32_t g_ticking; /* atomic: the once-a-second look is on */

static struct host_event *watch_get(int fd, bool create) {
    struct host_event *ev = g_watches[fd];
    if (ev == NULL && create) {
        static struct host_event *chunk;
        static size_t left;
        if (left == 0) {
            left = 64;
            chunk = host_reserve(left * sizeof(*chunk));
            if (chunk == NULL) {
                left = 0;
                return NULL;
            }
        }
        ev = &chunk[--left];
        list_init(&ev->link);
        g_watches[fd] = ev;
    }
    return ev;
}

static int epoll_set(int op, int fd, uint32_t events, uint32_t data) {
    struct epoll_event e = {.events = events, .data.u32 = data};
    return (int)sys4(SYS_epoll_ctl, g_epoll, op, fd, (long)&e);
}

must_check int hal_stream_watch(int hfd, uint32_t events, uint64_t cookie) {
    if (!host_fd_ok(hfd)) {
        return -EBADF;
    }
    plock_lock(&g_watch_lock);
    struct host_event *ev = watch_get(hfd, events != 0);
    if (ev != NULL) {
        ev->cookie = cookie;
        ev->events = events;
    }
    plock_unlock(&g_watch_lock);
    if (events == 0) {
        return 0; /* one shot: what still comes is dropped in host_event_take */
    }
    if (ev == NULL) {
        return -ENOMEM;
    }
    uint32_t want = (events & (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP)) | EPOLLONESHOT;
    int err = epoll_set(EPOLL_CTL_MOD, hfd, want, (uint32_t)hfd);
    if (err == -ENOENT) {
        err = epoll_set(EPOLL_CTL_ADD, hfd, want, (uint32_t)hfd);
    }
    if (err == -EPERM) { /* a regular file: always ready */
        host_vcpu_post(ev);
        err = 0;
    }
    return err;
}

void host_reactor_forget(int hfd) {
    plock_lock(&g_watch_lock);
    struct host_event *ev = watch_get(hfd, false);
    if (ev != NULL) {
        ev->events = 0;
    }
    plock_unlock(&g_watch_lock);
    if (ev != NULL) {
        (void)epoll_set(EPOLL_CTL_DEL, hfd, 0, 0); /* never added is fine */
    }
}

bool host_event_take(struct host_event *ev, uint64_t *out_cookie, uint32_t *out_events) {
    if (ev == &g_control_event) {
        *out_cookie = HAL_COOKIE_CONTROL;
        *out_events = POLLIN;
        return true;
    }
    plock_lock(&g_watch_lock);
    *out_cookie = ev->cookie;
    *out_events = ev->events;
    bool wanted = ev->events != 0;
    ev->events = 0;
    plock_unlock(&g_watch_lock);
    return wanted;
}

static void on_ready(const struct epoll_event *e) {
    if (e->data.u32 == DATA_TICK) {
        uint64_t word;
        (void)sys3(SYS_read, g_tick_fd, (long)&word, sizeof(word)); /* only resets it */
        return;
    }
    struct host_event *ev = &g_control_event;
    if ((int)e->data.u32 != g_control_fd) {
        plock_lock(&g_watch_lock);
        ev = watch_get((int)e->data.u32, false);
        if (ev != NULL && ev->events != 0) {
            ev->events = (e->events & (ev->events | EPOLLHUP | EPOLLERR));
        }
        plock_unlock(&g_watch_lock);
    }
    if (ev != NULL) {
        host_vcpu_post(ev);
    }
}

void host_tick_wanted(void) {
    if (atomic_load_relaxed(&g_ticking) == 0 && atomic_exchange(&g_ticking, 1u) == 0) {
        uint64_t one = 1;
        (void)sys3(SYS_write, g_tick_fd, (long)&one, sizeof(one)); /* full: it wakes all the same */
    }
}

static void reactor_main(void *arg) {
    struct epoll_event events[BATCH];
    uint64_t next_tick = 0;
    host_thread_init();
    host_thread_ready();
    for (;;) {
        int timeout = -1;
        if (atomic_load(&g_ticking) != 0) {
            uint64_t now = host_now_ns();
            next_tick = next_tick == 0 ? now + TICK_MS * NSEC_PER_MSEC : next_tick;
            timeout = now >= next_tick ? 0 : (int)((next_tick - now) / NSEC_PER_MSEC) + 1;
        }
        long n = sys6(SYS_epoll_pwait, g_epoll, (long)events, BATCH, timeout, 0, 8);
        for (long i = 0; i < n; i++) {
            on_ready(&events[i]);
        }
        if (next_tick != 0 && host_now_ns() >= next_tick) {
            next_tick = 0;
            atomic_store(&g_ticking, 0u);
            if (host_platform_tick()) {
                atomic_store(&g_ticking, 1u);
            }
        }
    }
}

int host_reactor_init(int control_fd) {
    g_watches = host_reserve(WATCH_MAX * sizeof(*g_watches));
    g_epoll = (int)sys1(SYS_epoll_create1, EPOLL_CLOEXEC);
    g_tick_fd = (int)sys2(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (g_watches == NULL || g_epoll < 0 || g_tick_fd < 0) {
        return -EMFILE;
    }
    list_init(&g_control_event.link);
    int err = epoll_set(EPOLL_CTL_ADD, g_tick_fd, EPOLLIN, DATA_TICK);
    if (err == 0 && control_fd >= 0) {
        g_control_fd = control_fd;
        err = epoll_set(EPOLL_CTL_ADD, control_fd, EPOLLIN | EPOLLRDHUP | EPOLLET,
                        (uint32_t)control_fd);
    }
    return err;
}

int host_reactor_start(void) {
    return host_thread_start(REACTOR_STACK, reactor_main, NULL);
}
