/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal-driven I/O of an open file: O_ASYNC, F_SETOWN, F_SETSIG (fcntl(2), "Managing signals").
 * A file has this state from the first of those requests on.
 */
#ifndef MOAT_SENTRY_ASYNC_H
#define MOAT_SENTRY_ASYNC_H

#include "base/types.h"

struct file;
struct file_async;

struct async_owner {
    int32_t type; /* F_OWNER_* */
    int32_t id;   /* 0: nobody */
};

/* 0, -EINVAL, -ESRCH, -ENOMEM */
must_check int file_set_owner(struct file *f, const struct async_owner *owner);
/* Nobody when that process, thread or group is gone. */
struct async_owner file_get_owner(struct file *f);
/* 0: SIGIO without further words.  -EINVAL, -ENOMEM. */
must_check int file_set_signal(struct file *f, uint64_t signo);
int32_t file_get_signal(struct file *f);
/* O_ASYNC goes on or off; `fd` is what signals name.  0, -ENOMEM. */
must_check int file_set_async(struct file *f, int fd, bool on);
/* A send did not fit: the next room is worth a signal (sockets). */
void file_async_full(struct file *f);
/* The last reference is gone. */
void file_async_release(struct file *f);

#endif
