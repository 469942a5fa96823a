/* SPDX-License-Identifier: Apache-2.0 */
/* See cgroup_bell.h.  Sources: cgroup-v2.rst memory.events, cgroup-v1/memory.rst
 * memory.oom_control; proc(5) oom_score_adj. */
#include "host/cgroup_bell.h"

#include "host/cgroup_internal.h"
#include "host/cleanup.h"
#include "host/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BELL_PAUSE_MS 100
#define BELL_MORE     (64 * MIB) /* the limit may be raised meanwhile: cgroup_reserve.h */
#define BELL_MAX      (512 * MIB)
#define BELL_STEP     (2 * MIB)

static int score_read(int proc) {
    char text[16] = "0";
    cleanup_fd int fd = openat(proc, "self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return atoi(text);
}

void oom_bell_open(const struct cgroup *cg, struct oom_bell *out) {
    *out = (struct oom_bell){.proc = -1, .limit_fd = -1, .usage_fd = -1};
    cleanup_fd int v1 = cg == NULL ? -1 : cg_open_at(cg, "memory");
    cleanup_fd int v2 = cg == NULL || v1 >= 0 ? -1 : cg_open_at(cg, "");
    int dir = v1 >= 0 ? v1 : v2;
    if (dir < 0) {
        return;
    }
    const char *limit = v1 >= 0 ? "memory.limit_in_bytes" : "memory.max";
    const char *usage = v1 >= 0 ? "memory.usage_in_bytes" : "memory.current";
    out->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    out->limit_fd = openat(dir, limit, O_RDONLY | O_CLOEXEC);
    out->usage_fd = openat(dir, usage, O_RDONLY | O_CLOEXEC);
    out->score = score_read(out->proc);
}

void oom_bell_close(struct oom_bell *b) {
    cleanup_fd_fn(&b->proc);
    cleanup_fd_fn(&b->limit_fd);
    cleanup_fd_fn(&b->usage_fd);
    *b = (struct oom_bell){.proc = -1, .limit_fd = -1, .usage_fd = -1};
}

/* Counts as large as it must to be chosen, whatever the scores of the others are, at the price of
 * page tables alone: the same memory, mapped over and over. */
static void look_large(uint64_t bytes) {
    cleanup_fd int fd = memfd_create("moat-bell", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, BELL_STEP) != 0) {
        return;
    }
    for (uint64_t done = 0; done < bytes; done += BELL_STEP) {
        if (mmap(NULL, BELL_STEP, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0) == MAP_FAILED) {
            return;
        }
    }
}

/* In a child of a process with threads: system calls alone. */
static noreturn_fn void bell_child(const struct oom_bell *b, uint64_t limit, uint64_t room) {
    int fd = openat(b->proc, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);    /* cannot fail with a valid signal */
    if (fd < 0 || write(fd, "1000", 4) != 4) { /* raising it is always allowed */
        _exit(1);                              /* or another would be killed */
    }
    if (b->score > 0) {
        look_large(limit / 1000 * (uint64_t)MIN(b->score, 1000));
    }
    volatile char *p = mmap(NULL, room, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (uint64_t at = 0; p != MAP_FAILED && at < room; at += 4096) {
        p[at] = 1;
    }
    _exit(0);
}

void oom_bell_ring(struct oom_bell *b) {
    uint64_t limit = 0, usage = 0;
    int64_t now = clock_now_ms();
    if (b->limit_fd < 0 || b->usage_fd < 0 || b->proc < 0 ||
        (b->last_ms != 0 && now - b->last_ms < BELL_PAUSE_MS)) {
        return;
    }
    if (!cg_pread_u64(b->limit_fd, &limit) || !cg_pread_u64(b->usage_fd, &usage) ||
        limit >= UINT64_MAX / 4 || (limit > usage && limit - usage > BELL_MAX)) {
        return; /* no limit, or another one than the sandbox began with: nothing to tell */
    }
    pid_t pid = fork();
    if (pid == 0) {
        /* What is in use may become less meanwhile: a guest gives freed memory back. */
        bell_child(b, limit, limit + BELL_MORE);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    b->last_ms = clock_now_ms();
}
