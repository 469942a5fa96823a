/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the waiting calls share: poll, select, epoll and the files that serve them.
 */
#ifndef MOAT_SENTRY_POLL_H
#define MOAT_SENTRY_POLL_H

#include "base/types.h"
#include "kernel/wait.h"

#include <asm/poll.h>

struct task;
struct file;

/* struct timespec of user space (64-bit). */
struct user_timespec {
    int64_t sec;
    int64_t nsec;
};

#define POLL_NO_WAIT 0ull /* deadline of a call that only asks */

/* A relative time of user space as a CLOCK_MONOTONIC deadline; zero time is POLL_NO_WAIT, far ones
 * saturate. */
must_check int poll_deadline_relative(int64_t sec, int64_t nsec, uint64_t *out_deadline_ns);
/* Copies a timespec in (NULL: NO_DEADLINE). */
must_check int poll_deadline_user(struct uaddr ts, uint64_t *out_deadline_ns);
/* Milliseconds as poll(2) and epoll_wait(2) take them; negative: no limit. */
uint64_t poll_deadline_ms(int32_t timeout_ms);

/* The signal mask of ppoll and friends: set for the call, put back when no signal ended it. */
must_check int poll_sigmask_enter(struct uaddr mask, uint64_t size);
void poll_sigmask_leave(struct task *t, bool interrupted);

/* Events of interest widened so that a wake-up with POLLIN meets POLLRDNORM and the like. */
static inline uint32_t poll_wake_mask(uint32_t events) {
    uint32_t mask = events | POLLERR | POLLHUP;
    if ((events & (POLLIN | POLLRDNORM | POLLRDBAND)) != 0) {
        mask |= POLLIN | POLLRDNORM;
    }
    if ((events & (POLLOUT | POLLWRNORM | POLLWRBAND)) != 0) {
        mask |= POLLOUT | POLLWRNORM;
    }
    return mask;
}

#endif
