/* SPDX-License-Identifier: Apache-2.0 */
/* Room for who has to give memory back: see cgroup_reserve.h.  All files are open beforehand, as
 * opening one takes memory of the group that has none. */
#include "host/cgroup_reserve.h"

#include "host/cgroup_internal.h"
#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS    20
#define TICKS      100 /* then the room was no help */
#define STACK_SIZE (64 * KIB)

struct reserve {
    int event_fd;                            /* v1: an eventfd */
    int limit_fd, swap_fd, usage_fd, oom_fd; /* files of the group; or -1 */
    bool v2, raised, gone;                   /* gone: v2, the group cannot be read any more */
    uint64_t limit, swap;                    /* while raised: what to set back to */
    unsigned ticks;                          /* since it was raised */
    uint64_t seen;                           /* v2: out-of-memory events */
};

static bool write_number(int fd, uint64_t value) {
    char text[24];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)value); /* fits */
    return pwrite(fd, text, (size_t)n, 0) == n;
}

/* Memory is not above memory and swap at any moment. */
static void raise_limit(struct reserve *r) {
    if (!cg_pread_u64(r->limit_fd, &r->limit) || r->limit >= UINT64_MAX / 2) {
        return; /* no limit: it was the host that had no more */
    }
    bool swap = cg_pread_u64(r->swap_fd, &r->swap) && r->swap < UINT64_MAX / 2;
    if (swap && !write_number(r->swap_fd, r->swap + CGROUP_RESERVE)) {
        return;
    }
    r->swap = swap ? r->swap : 0;
    r->ticks = 0;
    r->raised = write_number(r->limit_fd, r->limit + CGROUP_RESERVE);
}

static void lower_limit(struct reserve *r) {
    uint64_t now = 0, usage = UINT64_MAX;
    bool ours = cg_pread_u64(r->limit_fd, &now) && now == r->limit + CGROUP_RESERVE;
    /* Well below: the memory was given back.  Just below is where it all began. */
    uint64_t enough = r->ticks++ < TICKS ? CGROUP_RESERVE / 2 : 0;
    if (ours && (!cg_pread_u64(r->usage_fd, &usage) || usage + enough > r->limit)) {
        return;
    }
    if (ours && write_number(r->limit_fd, r->limit) && r->swap != 0) {
        (void)write_number(r->swap_fd, r->swap); /* above the limit again: nothing refuses it */
    }
    r->raised = false; /* or somebody has set another one meanwhile */
}

/* Whether memory ran out, or something else changed in memory.events. */
static bool ran_out(struct reserve *r) {
    char text[512];
    uint64_t count = 0;
    if (!r->v2) {
        return true;
    }
    ssize_t n = pread(r->oom_fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    r->gone = n <= 0;
    bool more = cg_key_u64(text, "oom", &count) == 0 && count > r->seen;
    r->seen = MAX(count, r->seen);
    return more;
}

static void serve(struct reserve *r, bool event) {
    uint64_t count;
    if (!r->v2) {
        event = read(r->event_fd, &count, sizeof(count)) > 0;
    }
    if (event && ran_out(r) && !r->raised) {
        raise_limit(r);
    } else if (r->raised) {
        lower_limit(r);
    }
}

/* Every page that the thread needs is there before memory runs out: what it will do is done once,
 * to no effect. */
static void warm_up(struct reserve *r) {
    uint64_t limit;
    volatile char stack[STACK_SIZE / 2];
    for (size_t i = 0; i < sizeof(stack); i += 1024) {
        stack[i] = 1;
    }
    serve(r, false);
    (void)ran_out(r); /* v2: begins to count */
    if (cg_pread_u64(r->limit_fd, &limit) && limit < UINT64_MAX / 2) {
        (void)write_number(r->limit_fd, limit); /* as it is */
    }
    (void)cg_pread_u64(r->usage_fd, &limit); /* the kernel's buffer for each open file, too */
    (void)cg_pread_u64(r->swap_fd, &limit);
}

static void *reserve_main(void *arg) {
    struct reserve *r = arg;
    warm_up(r);
    while (!r->gone) {
        /* A file of cgroup v2 is "urgent" when it changed since it was read (cgroup-v2.rst,
         * "Notification"); inotify's instances would be too few for many containers. */
        struct pollfd p = {.fd = r->v2 ? r->oom_fd : r->event_fd,
                           .events = r->v2 ? POLLPRI : POLLIN};
        int n = poll(&p, 1, r->raised ? TICK_MS : -1);
        serve(r, n == 1);
    }
    return NULL;
}

static int open_files(const struct cgroup *cg, struct reserve *r) {
    struct err ignored = {0};
    r->v2 = cg_find_at(cg, "memory") < 0;
    cleanup_fd int dir = cg_open_at(cg, r->v2 ? "" : "memory");
    if (dir < 0) {
        return -ENOTSUP;
    }
    r->limit_fd = openat(dir, r->v2 ? "memory.max" : "memory.limit_in_bytes", O_RDWR | O_CLOEXEC);
    r->usage_fd =
        openat(dir, r->v2 ? "memory.current" : "memory.usage_in_bytes", O_RDONLY | O_CLOEXEC);
    r->swap_fd = r->v2 ? -1 : openat(dir, "memory.memsw.limit_in_bytes", O_RDWR | O_CLOEXEC);
    r->oom_fd = r->v2 ? openat(dir, "memory.events", O_RDONLY | O_CLOEXEC) : -1;
    if (r->limit_fd < 0 || r->usage_fd < 0 || r->v2) {
        return r->limit_fd >= 0 && r->usage_fd >= 0 && r->oom_fd >= 0 ? 0 : -ENOTSUP;
    }
    r->event_fd = cgroup_oom_watch(cg, &ignored);
    return r->event_fd >= 0 ? 0 : -ENOTSUP;
}

static void close_files(const struct reserve *r) {
    const int all[] = {r->event_fd, r->limit_fd, r->swap_fd, r->usage_fd, r->oom_fd};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        if (all[i] >= 0) {
            (void)close(all[i]); /* nothing was written */
        }
    }
}

static int start_thread(struct reserve *r) {
    pthread_t thread;
    pthread_attr_t attr;
    int e = -pthread_attr_init(&attr);
    if (e != 0) {
        return e;
    }
    e = -pthread_attr_setstacksize(&attr, STACK_SIZE);
    e = e != 0 ? e : -pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    e = e != 0 ? e : -pthread_create(&thread, &attr, reserve_main, r);
    (void)pthread_attr_destroy(&attr); /* initialised: cannot fail */
    return e;
}

int cgroup_reserve_start(const struct cgroup *cg) {
    struct reserve *r = malloc(sizeof(*r)); /* the thread's, for good */
    if (r == NULL) {
        return -ENOMEM;
    }
    *r = (struct reserve){
        .event_fd = -1, .limit_fd = -1, .swap_fd = -1, .usage_fd = -1, .oom_fd = -1};
    int e = open_files(cg, r);
    e = e != 0 ? e : start_thread(r);
    if (e != 0) {
        close_files(r);
        free(r);
    }
    return e;
}
