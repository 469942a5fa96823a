/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timerfd_create(2), timerfd_settime(2), timerfd_gettime(2): timers that are read.
 * Lock: `ticks` is atomic; the wait queue wakes readers after it grew.
 */
#include "base/atomic.h"
#include "base/fmt.h"
#include "fs/vfs.h"
#include "kernel/clock_timer.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "syscall/syscall.h"

#include <asm-generic/errno.h>
#include <asm-generic/fcntl.h>
#include <asm-generic/poll.h>
#include <linux/time.h>
#include <linux/timerfd.h>

struct timerfd {
    struct clock_timer ct;
    int32_t clock;
    uint64_t ticks; /* atomic: expirations not yet read */
    struct waitq readers;
};

static void timerfd_fire(struct clock_timer *ct, uint64_t count) {
    struct timerfd *tf = container_of(ct, struct timerfd, ct);
    (void)atomic_fetch_add(&tf->ticks, count); /* only the sum is of use */
    waitq_wake(&tf->readers, POLLIN | POLLRDNORM);
}

static void timerfd_release(struct file *file) {
    struct timerfd *tf = file->private;
    clock_timer_stop(&tf->ct);
    kfree(tf);
}

static bool has_ticks(void *arg) {
    const struct timerfd *tf = arg;
    return atomic_load(&tf->ticks) != 0;
}

static int64_t timerfd_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct timerfd *tf = file->private;
    uint64_t ticks;
    if (iter_left(to) < sizeof(ticks)) {
        return -EINVAL;
    }
    while ((ticks = atomic_exchange(&tf->ticks, 0)) == 0) {
        if ((atomic_load(&file->flags) & O_NONBLOCK) != 0) {
            return -EAGAIN;
        }
        int err = waitq_wait(&tf->readers, has_ticks, tf, NO_DEADLINE, BLOCK_INTERRUPTIBLE);
        if (err != 0) {
            return err == -EINTR ? -ERESTARTSYS : err;
        }
    }
    return iter_copy_to(to, &ticks, sizeof(ticks));
}

static uint32_t timerfd_poll(struct file *file, struct poll_table *table) {
    struct timerfd *tf = file->private;
    poll_wait(table, &tf->readers);
    return atomic_load(&tf->ticks) != 0 ? POLLIN | POLLRDNORM : 0;
}

static int timerfd_fdinfo(struct file *file, char *buf, size_t size) {
    struct timerfd *tf = file->private;
    struct clock_setting now;
    clock_timer_get(&tf->ct, &now);
    size_t len = fmt_snprintf(buf, size,
                              "clockid: %d\nticks: %lu\nsettime flags: 00\nit_value: (%lu, %lu)\n"
                              "it_interval: (%lu, %lu)\n",
                              tf->clock, atomic_load(&tf->ticks),
                              (unsigned long)(now.value_ns / NSEC_PER_SEC),
                              (unsigned long)(now.value_ns % NSEC_PER_SEC),
                              (unsigned long)(now.interval_ns / NSEC_PER_SEC),
                              (unsigned long)(now.interval_ns % NSEC_PER_SEC));
    return (int)MIN(len, size);
}

static const struct file_ops g_timerfd_ops = {
    .release = timerfd_release,
    .read = timerfd_read,
    .poll = timerfd_poll,
    .show_fdinfo = timerfd_fdinfo,
};

static int kind_of_clock(int32_t clock, enum clock_kind *out_kind) {
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_ALARM:
        *out_kind = CLOCK_KIND_REALTIME;
        return 0;
    case CLOCK_MONOTONIC:
        *out_kind = CLOCK_KIND_MONOTONIC;
        return 0;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *out_kind = CLOCK_KIND_BOOTTIME;
        return 0;
    default:
        return -EINVAL;
    }
}

int64_t sys_timerfd_create(struct task *t, const struct sysargs *args) {
    enum clock_kind kind;
    uint32_t flags = (uint32_t)args->a[1];
    struct file *file;
    if ((flags & ~(uint32_t)(TFD_NONBLOCK | TFD_CLOEXEC)) != 0 ||
        kind_of_clock((int32_t)args->a[0], &kind) != 0) {
        return -EINVAL;
    }
    struct timerfd *tf = kzalloc(sizeof(*tf));
    if (tf == NULL) {
        return -ENOMEM;
    }
    clock_timer_init(&tf->ct, kind, timerfd_fire);
    tf->clock = (int32_t)args->a[0];
    waitq_init(&tf->readers);
    int err = file_anon("[timerfd]", &g_timerfd_ops, tf, O_RDWR | (flags & TFD_NONBLOCK), &file);
    if (err != 0) {
        kfree(tf);
        return err;
    }
    return fd_give(file, (flags & TFD_CLOEXEC) != 0);
}

/* The timerfd of a descriptor, with a reference on *out_file. */
static int timerfd_get(uint64_t fd, struct file **out_file, struct timerfd **out_timer) {
    struct file *file = fd_get((int)fd, false);
    if (file == NULL) {
        return -EBADF;
    }
    if (file->ops != &g_timerfd_ops) {
        file_put(file);
        return -EINVAL;
    }
    *out_file = file;
    *out_timer = file->private;
    return 0;
}

int64_t sys_timerfd_settime(struct task *t, const struct sysargs *args) {
    struct clock_setting setting, old;
    struct file *file;
    struct timerfd *tf;
    uint32_t flags = (uint32_t)args->a[1];
    if ((flags & ~(uint32_t)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0) {
        return -EINVAL;
    }
    int err = copyin_itimerspec(uaddr_of(args->a[2]), &setting);
    if (err == 0) {
        err = timerfd_get(args->a[0], &file, &tf);
    }
    if (err != 0) {
        return err;
    }
    /* Stopped first, so that no expiration of the old setting is counted for the new one. */
    static const struct clock_setting off = {0, 0};
    clock_timer_set(&tf->ct, &off, false, &old);
    atomic_store(&tf->ticks, 0);
    clock_timer_set(&tf->ct, &setting, (flags & TFD_TIMER_ABSTIME) != 0, NULL);
    file_put(file);
    return args->a[3] != 0 ? copyout_itimerspec(uaddr_of(args->a[3]), &old) : 0;
}

int64_t sys_timerfd_gettime(struct task *t, const struct sysargs *args) {
    struct clock_setting now;
    struct file *file;
    struct timerfd *tf;
    int err = timerfd_get(args->a[0], &file, &tf);
    if (err != 0) {
        return err;
    }
    clock_timer_get(&tf->ct, &now);
    file_put(file);
    return copyout_itimerspec(uaddr_of(args->a[1]), &now);
}
