/* SPDX-License-Identifier: Apache-2.0 */
/* Out-of-memory scores (proc(5), /proc/PID/oom_score_adj): see victim.h.  What cannot be written
 * stays as it is: it is a preference. */
#include "sandbox/victim.h"

#include "host/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define SENTRY_LESS 100 /* of 1000: a tenth of the memory that is short */
#define STUBS_MORE  30
#define SCORE_MAX   1000
#define SCORE_MIN   (-999) /* -1000 would be never */

static bool score_write(int proc, pid_t pid, int score) {
    char path[48];
    (void)snprintf(path, sizeof(path), "%d/oom_score_adj", (int)pid); /* fits */
    cleanup_fd int fd = openat(proc, path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && dprintf(fd, "%d", score) > 0;
}

static int score_read(void) {
    char text[16] = "0";
    cleanup_fd int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return atoi(text);
}

void victim_before(const struct container_process *p, struct victim *out) {
    int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int own = score_read();
    int want = p->oom_score_adj_set ? p->oom_score_adj : own;
    if (want != own && !score_write(proc, getpid(), want)) {
        want = own;
    }
    /* Tried on oneself: whether a value below the lowest one so far is taken. */
    out->lower = score_write(proc, getpid(), MAX(want - SENTRY_LESS, SCORE_MIN));
    out->score = want;
    out->proc = proc;
    (void)score_write(proc, getpid(), out->lower ? want : MIN(want + STUBS_MORE, SCORE_MAX));
}

void victim_after(const struct victim *v, const struct sandbox *s) {
    cleanup_fd int proc = v->proc;
    if (v->lower) {
        (void)score_write(proc, s->sentry_pid, MAX(v->score - SENTRY_LESS, SCORE_MIN));
        return;
    }
    const pid_t others[] = {getpid(), s->sentry_pid, s->gofer_pid};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        if (others[i] > 0) {
            (void)score_write(proc, others[i], v->score);
        }
    }
}
